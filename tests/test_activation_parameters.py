"""Parameters of activations: checks, dtypes and gradients."""

import jax
import numpy as np
import pytest
import torch
from closed_form_duals import NORMALIZED, ONE_OF_EACH
from scipy import special as scipy_special

import tangency.dual_activations as duals
from tangency.dual_activations.special import erf, ndtr, normal_pdf
from tangency.kernels.layers.hyperparameters import hyperparameters

PARAMETRIC = [
    (duals.ABRelu, (0.3, -1.7)),
    (duals.LeakyRelu, (0.2,)),
    (duals.Erf, (0.7, 1.9, 0.3)),
    (duals.Sin, (1.3, 0.7, 0.4)),
    (duals.Cos, (0.6, 1.4, -0.2)),
    (duals.Rbf, (0.8,)),
    (duals.Exp, (1.2, 0.6)),
    (duals.Sinh, (1.2, 0.6)),
    (duals.Cosh, (1.2, 0.6)),
    (duals.Gaussian, (1.2, -0.5)),
    (duals.DampedSin, (0.6, 1.3, 0.4)),
    (duals.ScaledGelu, (1.702,)),
    (duals.ExpNormalized, (0.8, -0.5)),
]
names = pytest.mark.parametrize("make, parameters", PARAMETRIC, ids=str)
PAIR = np.asarray([1.5, 0.8, 0.6])


@names
def test_parameters_that_are_no_numbers_are_refused(make, parameters):
    for bad in ("1", None, [1.0], True, np.ones(2)):
        for i in range(len(parameters)):
            wrong = (*parameters[:i], bad, *parameters[i + 1 :])
            with pytest.raises(TypeError, match=f"{make.__name__}: .* expected a numb"):
                make(*wrong)


@names
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused(make, parameters, bad):
    with pytest.raises(ValueError, match=f"{make.__name__}: .* expected a finite"):
        make(bad, *parameters[1:])


def test_parameters_without_an_expectation_are_refused():
    with pytest.raises(ValueError, match="Gaussian: b is 0.5, expected .* <= 0"):
        duals.Gaussian(b=0.5)
    for make in (duals.Rbf, duals.ExpNormalized):
        with pytest.raises(ValueError, match="gamma is -1.0, expected a number >= 0"):
            make(-1.0)
    with pytest.raises(ValueError, match="alpha is -0.1, expected a number >= 0"):
        duals.DampedSin(alpha=-0.1)


@pytest.mark.parametrize("make", [duals.Monomial, duals.Hermite])
@pytest.mark.parametrize("bad", [-1, 1.5, "2", True, 141])
def test_degrees_that_are_no_small_natural_numbers_are_refused(make, bad):
    with pytest.raises(ValueError, match=f"{make.__name__}: degree is .* expected"):
        make(bad)
    with pytest.raises(ValueError, match="RectifiedMonomial: degree is .* expected"):
        duals.RectifiedMonomial(bad)


def test_the_largest_degree_is_finite_in_float64():
    one = np.asarray(1.0)
    for make in (duals.Monomial, duals.RectifiedMonomial, duals.Hermite):
        for k in make(140).value_and_derivative(one, one, one):
            assert np.isfinite(k)


def test_coefficients_that_are_no_sequence_of_numbers_are_refused():
    with pytest.raises(TypeError, match="Polynomial: coef is 3.0, expected a sequence"):
        duals.Polynomial(3.0)
    with pytest.raises(TypeError, match=r"Polynomial: coef\[1\] is 'x'"):
        duals.Polynomial([1.0, "x"])
    with pytest.raises(TypeError, match="Polynomial: coef is 'abc'"):
        duals.Polynomial("abc")
    with pytest.raises(ValueError, match="Polynomial: coef is empty"):
        duals.Polynomial(())


def test_a_kernel_without_a_function_says_so():
    with pytest.raises(NotImplementedError, match="a kernel and not a function.*Exp"):
        duals.ExpNormalized()(PAIR)


def test_gelu_refuses_other_forms():
    with pytest.raises(TypeError, match="approximate is 'tanh', expected True"):
        duals.Gelu("tanh")


@names
def test_numpy_parameters_keep_float32(make, parameters):
    f = make(*(np.float64(v) for v in parameters))
    assert f == make(*parameters) and hash(f) == hash(make(*parameters))
    for k in f.value_and_derivative(*PAIR.astype(np.float32)):
        assert k.dtype == np.float32


@pytest.mark.parametrize("f", [f for f in ONE_OF_EACH if f not in NORMALIZED], ids=repr)
def test_functions_keep_the_dtype_of_their_argument(f, xp):
    x = xp.asarray([-2.0, 0.0, 1.5], dtype=xp.float32)
    y = f(x)
    assert y.dtype == x.dtype and y.shape == x.shape
    expected = f(np.asarray([-2.0, 0.0, 1.5]))
    assert np.allclose(np.asarray(y), expected, rtol=1e-6, atol=1e-6)


@names
def test_duals_are_differentiable_in_the_parameters(make, parameters):
    values = [torch.tensor(v, dtype=torch.float64) for v in parameters]
    pair = torch.asarray(PAIR)

    def value(*values):
        return make(*values).value(*pair)

    assert torch.autograd.gradcheck(value, [v.requires_grad_() for v in values])


def test_duals_are_differentiable_in_the_parameters_under_jit():
    def value(phase):
        return duals.Sin(1.3, 0.7, phase).value(*map(jax.numpy.asarray, PAIR))

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(value))(0.4)
        step = (value(0.4 + 1e-6) - value(0.4 - 1e-6)) / 2e-6
    assert np.isclose(gradient, step, rtol=1e-8)


def test_a_slope_is_one_hyperparameter_of_a_network():
    slope = torch.tensor(0.2, dtype=torch.float64)
    found = hyperparameters((duals.LeakyRelu(slope), duals.Relu(), duals.Erf(slope)))
    assert len(found) == 2


def test_names_of_fixed_activations_show_no_parameters():
    shown = [
        repr(f()) for f in (duals.Relu, duals.Abs, duals.Gabor, duals.Sigmoid_like)
    ]
    assert shown == ["Relu()", "Abs()", "Gabor()", "Sigmoid_like()"]
    assert repr(duals.LeakyRelu(0.1)) == "LeakyRelu(alpha=0.1)"


@pytest.mark.parametrize("name", ["erf", "ndtr"])
def test_special_functions_are_those_of_scipy(name, xp64):
    x = np.linspace(-6, 6, 101)
    ours = {"erf": erf, "ndtr": ndtr}[name](xp64.asarray(x))
    assert ours.dtype == xp64.float64
    expected = getattr(scipy_special, name)(x)
    assert np.allclose(np.asarray(ours), expected, rtol=1e-13, atol=1e-16)


def test_the_normal_density_is_the_slope_of_its_distribution(xp):
    x = xp.linspace(-3.0, 3.0, 31, dtype=xp.float32)
    expected = np.exp(-(np.linspace(-3, 3, 31) ** 2) / 2) / np.sqrt(2 * np.pi)
    assert np.allclose(np.asarray(normal_pdf(x)), expected, rtol=1e-5)
