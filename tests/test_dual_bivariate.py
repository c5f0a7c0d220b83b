"""The bivariate normal distribution, and the duals that need it or its relatives."""

import jax
import numpy as np
import pytest
import torch
from gaussian_pairs import kinked_expectation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erfcx, ndtr, owens_t
from scipy.stats import multivariate_normal
from split_pairs import split_expectation

import tangency as tg

EXPONENTIAL = [tg.Elu(), tg.Elu(0.7), tg.Elu(-0.4), tg.Selu(), tg.Celu(0.5)]
STAIRS = tg.PiecewiseLinear((-1.5, 0.0, 2.0), (0.5, -2.0, 1.5), 0.3, -0.7)
LINEAR = [tg.HardTanh(), tg.Relu6(), tg.HardSigmoid(), STAIRS]
ALL = [*EXPONENTIAL, *LINEAR]
limits = st.floats(-6, 6)
variances = st.floats(0.01, 20)
correlations = st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0]))


def by_owens_t(h, k, rho):
    """Owen 1956, eq. 2.1, in SciPy's T."""
    s = np.sqrt((1 - rho) * (1 + rho))
    first = owens_t(h, (k - rho * h) / (h * s)) + owens_t(k, (h - rho * k) / (k * s))
    return (ndtr(h) + ndtr(k)) / 2 - first - (0.5 if h * k < 0 else 0.0)


def slope_at(activation, x):
    """f'(x) by automatic differentiation."""
    x = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(activation(x).sum(), x)[0].numpy()


@given(limits, limits, st.floats(-0.99, 0.99))
def test_bivariate_ndtr_equals_owens_t(h, k, rho):
    h, k = h or 1e-3, k or 1e-3
    if min(abs(h), abs(k)) < 1e-3:
        return  # Owen's form divides by both.
    found = tg.bivariate_ndtr(np.asarray(h), np.asarray(k), np.asarray(rho))
    assert abs(found - by_owens_t(h, k, rho)) < 1e-14


@given(limits, st.floats(-1e-2, 1e-2), st.floats(-12, -1), st.sampled_from([-1, 1]))
def test_bivariate_ndtr_equals_adaptive_quadrature_near_one(h, gap, exponent, sign):
    small = 10**exponent
    rho, k = sign * (1 - small), sign * h + gap
    s = np.sqrt(small * (2 - small))
    middle = np.clip(k / rho, -9, h)
    points = sorted({-9.0, *np.clip(middle + s * np.arange(-9, 10, 3), -9, h), h})
    expected = sum(
        quad(
            lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * ndtr((k - rho * x) / s),
            a,
            b,
            epsabs=1e-15,
        )[0]
        for a, b in zip(points[:-1], points[1:], strict=True)
    )
    found = tg.bivariate_ndtr(np.asarray(h), np.asarray(k), np.asarray(rho))
    # rho itself is known to 1e-16, which moves s by 1e-16 / s.
    assert abs(found - expected) < 1e-13 + 1e-16 / s


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_bivariate_ndtr_is_exact_at_correlation_one(h, k):
    h, k, one = np.asarray(h), np.asarray(k), np.asarray(1.0)
    both = tg.bivariate_ndtr(h, k, one)
    assert abs(both - ndtr(min(h, k))) < 1e-15
    apart = tg.bivariate_ndtr(h, k, -one)
    assert abs(apart - max(ndtr(h) - ndtr(-k), 0)) < 1e-15


def test_bivariate_ndtr_equals_scipy():
    h, k, rho = 0.3, -0.8, 0.6
    expected = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([h, k])
    found = tg.bivariate_ndtr(*map(np.asarray, (h, k, rho)))
    assert abs(found - expected) < 1e-6  # SciPy's own tolerance is 1e-5.


@pytest.mark.parametrize("rho", [-0.999, -0.6, 0.0, 0.3, 0.95, 0.99999])
def test_bivariate_ndtr_has_the_density_as_derivative(rho):
    h, k = 0.4, 0.1
    args = [
        torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (h, k, rho)
    ]
    by_h, by_k, by_rho = torch.autograd.grad(tg.bivariate_ndtr(*args), args)
    s2 = (1 - rho) * (1 + rho)
    density = np.exp(-(h * h - 2 * rho * h * k + k * k) / (2 * s2))
    phi = [np.exp(-a * a / 2) / np.sqrt(2 * np.pi) for a in (h, k)]
    s = np.sqrt(s2)
    # The derivative by rho grows as 1 / s.
    assert abs(by_rho - density / (2 * np.pi * s)) < 1e-12 / s
    assert abs(by_h - phi[0] * ndtr((k - rho * h) / s)) < 1e-12
    assert abs(by_k - phi[1] * ndtr((h - rho * k) / s)) < 1e-12


def test_bivariate_ndtr_works_on_every_backend(xp64):
    h = np.linspace(-4, 4, 9)
    rho = np.asarray([-1, -0.9, 0.0, 0.5, 1])
    expected = tg.bivariate_ndtr(h[:, None], -h[:, None] / 2, rho)
    run = jax.jit(tg.bivariate_ndtr) if xp64 is jax.numpy else tg.bivariate_ndtr
    for dtype, tol in (("float64", 1e-14), ("float32", 5e-7)):
        args = [xp64.asarray(a, dtype=getattr(xp64, dtype)) for a in (h, -h / 2)]
        found = run(
            args[0][:, None], args[1][:, None], xp64.asarray(rho, dtype=args[0].dtype)
        )
        assert found.dtype == args[0].dtype
        assert np.max(np.abs(np.asarray(found) - expected)) < tol


@given(variances, variances, correlations, st.sampled_from(EXPONENTIAL))
def test_exponential_linear_duals_equal_quadrature(p, q, rho, f):
    c = rho * np.sqrt(p * q)
    k, k_dot = f.value_and_derivative(*map(np.asarray, (p, q, c)))
    scale = np.sqrt(f.variance(np.asarray(p)) * f.variance(np.asarray(q)))
    assert abs(k - kinked_expectation(f, p, q, c)) < 1e-13 * (1 + scale)
    slope = kinked_expectation(lambda x: slope_at(f, x), p, q, c)
    assert abs(k_dot - slope) < 1e-7  # the quadrature meets jumps at its edges


@pytest.mark.parametrize("norm", [1e-6, 1e-3, 0.3, 1.0, 30.0, 1e3, 1e6])
def test_elu_is_exact_for_equal_and_opposite_inputs_at_every_norm(norm):
    f, p = tg.Elu(0.7), np.asarray(norm**2)
    # E f(s g)^2 and E f(s g) f(-s g); the first as a series where it would cancel.
    z = norm / np.sqrt(2)
    if norm < 0.01:
        below = p / 2 - 1.5957691216057308 * norm**3 / 2 + 7 / 8 * norm**4
    else:
        below = (erfcx(2 * z) - 2 * erfcx(z) + 1) / 2
    same, opposite = f.value(p, p, p), f.value(p, p, -p)
    tol = 2e-13 if norm >= 0.01 else 10 * norm**3 + 1e-14
    assert abs(same - (p / 2 + 0.49 * below)) < tol * p
    assert abs(opposite + 0.7 * p * erfcx(z)) < 2e-14 * p
    mixed = 1 / 2 * erfcx(z)
    k_dot = 0.5 + 0.49 / 2 * erfcx(2 * z)
    assert abs(f.derivative(p, p, p) - k_dot) < 1e-14
    assert abs(f.derivative(p, p, -p) - 2 * 0.7 * mixed) < 1e-14


@given(st.floats(-14, -2), st.floats(-14, -2), st.floats(-0.99, 0.99))
def test_elu_keeps_relative_accuracy_at_small_norms(a, b, rho):
    p, q = 10**a, 10**b
    expected = kinked_expectation(tg.Elu(0.3), p, q, rho * np.sqrt(p * q))
    found = tg.Elu(0.3).value(*map(np.asarray, (p, q, rho * np.sqrt(p * q))))
    assert abs(found - expected) < 1e-13 * np.sqrt(p * q)


@pytest.mark.parametrize("f", LINEAR, ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("p, q, rho", [(1.3, 0.6, 0.4), (2.0, 9.0, -0.97), (4, 4, 1)])
def test_piecewise_linear_duals_equal_quadrature(f, p, q, rho):
    c = rho * np.sqrt(p * q)
    k, k_dot = f.value_and_derivative(*map(np.asarray, (float(p), float(q), c)))
    assert abs(k - split_expectation(f, p, q, c, f.kinks)) < 1e-12
    slope = split_expectation(lambda x: slope_at(f, x), p, q, c, f.kinks)
    # Nodes next to the jumps of f' leave this in the quadrature.
    assert abs(k_dot - slope) < 1e-7


@given(variances, variances, correlations)
def test_hinges_at_zero_are_relu_and_lines_are_linear(p, q, rho):
    args = tuple(map(np.asarray, (p, q, rho * np.sqrt(p * q))))
    hinge = tg.PiecewiseLinear((0.0,), (1.0,)).value_and_derivative(*args)
    for found, expected in zip(
        hinge, tg.Relu().value_and_derivative(*args), strict=True
    ):
        assert abs(found - expected) < 1e-13 * (1 + np.sqrt(p * q))
    line = tg.PiecewiseLinear((-1.0, 3.0), (0.0, 0.0), 2.0, -0.5)
    assert abs(line.value(*args) - (4 + args[2] / 4)) < 1e-14 * (1 + p + q)


def test_hard_tanh_is_linear_for_small_and_the_sign_for_large_inputs():
    small = [np.asarray(a) for a in (1e-12, 4e-12, 1e-12)]
    k, k_dot = tg.HardTanh().value_and_derivative(*small)
    assert abs(k - 1e-12) < 1e-22 and k_dot == 1
    large = [np.asarray(a) for a in (1e8, 4e8, 1e8)]
    assert abs(tg.HardTanh().value(*large) - 1 / 3) < 1e-6
    huge = [np.asarray(1e12, dtype=np.float32)] * 3
    assert abs(tg.HardTanh().value(*huge)) <= 1


EDGE_NORMS = np.asarray([0, 1e-12, 1e-4, 1.0, 50.0, 1e6, 1e12])
P, Q, RHO = (
    a.ravel() for a in np.meshgrid(EDGE_NORMS, EDGE_NORMS, [-1, -0.5, 0, 0.9, 1])
)


def edges(dtype):
    return tuple(a.astype(dtype) for a in (P, Q, RHO * np.sqrt(P) * np.sqrt(Q)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", ALL, ids=repr)
def test_values_and_gradients_are_finite_at_the_edges(f, dtype):
    arrays = edges(dtype)
    exact = f.value_and_derivative(*(a.astype(np.float64) for a in arrays))
    scale = 1 + np.sqrt(np.abs(f.variance(P) * f.variance(Q)))
    eps = 30 * np.finfo(dtype).eps
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    for found, tensor, expected in zip(
        f.value_and_derivative(*arrays), f.value_and_derivative(*tensors), exact,
        strict=True,
    ):  # fmt: skip
        assert found.dtype == dtype and np.all(np.isfinite(found))
        assert tensor.dtype == tensors[0].dtype
        # Saturated, terms of the size of the variances cancel (see the docstring).
        lost = 1e-14 * np.maximum(P, Q) if f in LINEAR else 0
        assert np.all(np.abs(found - expected) < (eps * scale + lost))
        assert np.all(np.abs(tensor.detach().numpy() - expected) < (eps * scale + lost))
        for g in torch.autograd.grad(tensor.sum(), tensors, retain_graph=True):
            assert torch.isfinite(g).all()


@pytest.mark.parametrize(
    "f, dtype",
    [
        (tg.Elu(0.7), "float32"),
        (tg.Elu(0.7), "float64"),
        (tg.PiecewiseLinear((0.5,), (1.0,)), "float64"),
    ],
)
def test_jax_agrees_with_finite_gradients_under_jit(f, dtype):
    with jax.enable_x64(dtype == "float64"):
        args = [jax.numpy.asarray(a) for a in edges(dtype)]

        @jax.jit
        def run(p, q, c):
            k, pull = jax.vjp(f.value_and_derivative, p, q, c)
            return k, pull((jax.numpy.ones_like(k[0]), jax.numpy.ones_like(k[1])))

        values, gradients = run(*args)
    exact = f.value_and_derivative(*(np.asarray(a, np.float64) for a in args))
    scale = 1 + np.sqrt(np.abs(f.variance(P) * f.variance(Q)))
    for k, expected in zip(values, exact, strict=True):
        assert k.dtype == dtype
        assert (
            np.max(np.abs(np.asarray(k) - expected) / scale) < 30 * np.finfo(dtype).eps
        )
    assert all(np.all(np.isfinite(g)) for g in gradients)


@settings(max_examples=12)
@given(variances, variances, st.floats(-0.98, 0.98), st.sampled_from(ALL))
def test_gradients_equal_finite_differences(p, q, rho, f):
    point = np.asarray([p, q, rho * np.sqrt(p * q)])
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in point]
    found = torch.autograd.grad(f.value(*tensors), tensors)
    for i, g in enumerate(found):
        h = 1e-5 * min(p, q) * (1 - abs(rho))
        shift = h * np.eye(3)[i]
        above, below = (f.value(*map(np.asarray, point + d)) for d in (shift, -shift))
        # Rounding of the difference, and its third derivative.
        assert abs(g - (above - below) / (2 * h)) < 1e-14 * (1 + p + q) / h + 1e-5
    # Price's theorem: the derivative by c is the dual of f'.
    k_dot = f.derivative(*map(np.asarray, point))
    assert abs(found[2] - k_dot) < 1e-10


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tg.Celu(0.0), "alpha is 0.0, expected a number > 0"),
        (lambda: tg.Elu("1"), "alpha is '1' of type str"),
        (lambda: tg.PiecewiseLinear((0.0, 1.0), (1.0,)), "jumps has 1 entries"),
        (lambda: tg.PiecewiseLinear((np.inf,), (1.0,)), "kinks is inf"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
