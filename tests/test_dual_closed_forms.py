"""Closed forms of dual activations against quadrature, autodiff and identities."""

from functools import cache

import numpy as np
import pytest
import torch
from closed_form_duals import ALL, KINKED, SMOOTH, STEPS
from gaussian_pairs import kinked_expectation, smooth_expectation
from hypothesis import given
from hypothesis import strategies as st

import tangency.dual_activations as duals
from tangency.dual_activations.polynomials import power_coefficients
from tangency.dual_activations.rectified_monomials import arc_cosine_coefficients


@cache
def pairs():
    """p, q and c: random ones, and correlations at and near 0, 1 and -1."""
    rng = np.random.default_rng(0)
    p, q = np.exp(rng.uniform(np.log(0.05), np.log(4), (2, 6)))
    c = rng.uniform(-1, 1, 6) * np.sqrt(p * q)
    rows = list(zip(p, q, c, strict=True))
    rows += [(1.0, 1.0, r) for r in (1.0, -1.0, 0.0, 0.999, -0.999, 1 - 1e-9)]
    rows += [(0.25, 4.0, 1.0), (0.25, 4.0, -1.0), (0.3, 2.0, 0.95 * np.sqrt(0.6))]
    return tuple(np.asarray(column) for column in zip(*rows, strict=True))


def scales(dual, p, q):
    """sqrt(k(p, p, p) k(q, q, q)), what |k(p, q, c)| can be at most."""
    return np.sqrt(dual(p, p, p) * dual(q, q, q))


def assert_equals_quadrature(f, dual, expectation):
    p, q, c = pairs()
    expected = [expectation(f, *row) for row in zip(p, q, c, strict=True)]
    error = np.abs(dual(p, q, c) - expected)
    # The duals keep 1e-13; the rest is for quadrature at the edge of its panels.
    assert np.all(error <= 1e-12 * scales(dual, p, q) + 1e-300)


@pytest.mark.parametrize("f", [*KINKED, *STEPS], ids=repr)
def test_dual_of_a_kinked_function_equals_quadrature(f):
    assert_equals_quadrature(f, f.value, kinked_expectation)


@pytest.mark.parametrize("f", SMOOTH, ids=repr)
def test_dual_of_a_smooth_function_equals_quadrature(f):
    assert_equals_quadrature(f, f.value, smooth_expectation)


def gradient_of(f, x):
    x = torch.tensor(x, requires_grad=True)
    y = f(x).sum()
    if not y.requires_grad:  # a constant function
        return np.zeros(x.shape)
    return torch.autograd.grad(y, x)[0].numpy()


def slope_of(f):
    """f', by automatic differentiation of f itself."""

    def slope(x):
        return gradient_of(f, x)

    return slope


@pytest.mark.parametrize("f", KINKED, ids=repr)
def test_derivative_of_a_kinked_function_equals_quadrature_of_its_slope(f):
    assert_equals_quadrature(slope_of(f), f.derivative, kinked_expectation)


@pytest.mark.parametrize("f", SMOOTH, ids=repr)
def test_derivative_of_a_smooth_function_equals_quadrature_of_its_slope(f):
    assert_equals_quadrature(slope_of(f), f.derivative, smooth_expectation)


@pytest.mark.parametrize("f", [f for f in ALL if f not in STEPS], ids=repr)
def test_derivative_is_the_gradient_of_the_value_in_c(f):
    p, q, c = pairs()
    p_, q_ = torch.asarray(p), torch.asarray(q)
    gradient = gradient_of(lambda c: f.value(p_, q_, c), c)
    error = np.abs(gradient - f.derivative(p, q, c))
    # A kinked dual loses sqrt(eps) of its gradient near correlation 1: the derivatives
    # of the angle and of its sine are infinite there, and cancel.
    rounding = 1e-11 if f in KINKED else 1e-13
    assert np.all(error <= rounding * scales(f.derivative, p, q))


@pytest.mark.parametrize("f", STEPS, ids=repr)
def test_steps_have_no_slope_almost_everywhere(f):
    assert not np.any(f.derivative(*pairs()))


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_both_duals_and_the_variance_agree_with_each_alone(f, xp64):
    p, q, c = (xp64.asarray(a) for a in pairs())
    both = f.value_and_derivative(p, q, c)
    each = f.value(p, q, c), f.derivative(p, q, c)
    for got, alone in zip(both, each, strict=True):
        assert got.dtype == xp64.float64
        assert np.allclose(np.asarray(got), np.asarray(alone), rtol=1e-15, atol=0)
    variance, diagonal = np.asarray(f.variance(p)), np.asarray(f.value(p, p, p))
    assert np.allclose(variance, diagonal, rtol=1e-15, atol=0)


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_variances_broadcast_per_row(f):
    rng = np.random.default_rng(1)
    p, q = rng.uniform(0.1, 2, (4, 1)), rng.uniform(0.1, 2, (1, 3))
    c = rng.uniform(-1, 1, (4, 3)) * np.sqrt(p * q)
    for dual in (f.value, f.derivative):
        whole = dual(*(np.broadcast_to(a, (4, 3)) for a in (p, q, c)))
        assert np.array_equal(dual(p, q, c), whole)


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_duals_are_symmetric_positive_semidefinite_kernels(f):
    x = np.random.default_rng(2).standard_normal((12, 3)) * 0.6
    x[1], x[2], x[3] = x[0], -x[0], x[0] + 1e-9
    c = x @ x.T
    p, q = np.diag(c)[:, None], np.diag(c)[None, :]
    for dual in (f.value, f.derivative):
        k = dual(p, q, c)
        assert np.allclose(k, k.T, rtol=1e-13, atol=1e-15)
        values = np.linalg.eigvalsh(k)
        assert values[0] >= -1e-13 * values[-1]


@given(st.integers(0, 7), st.floats(0.01, 3), st.floats(0.01, 3), st.floats(-1, 1))
def test_hermite_equals_its_polynomial_at_every_norm(n, p, q, rho):
    c = rho * np.sqrt(p * q)
    h = np.polynomial.hermite_e.herme2poly([0] * n + [1])
    scale = np.prod([float(i) for i in range(1, n + 1)]) ** -0.5
    polynomial, hermite = duals.Polynomial(scale * h), duals.Hermite(n)
    p, q, c = (np.asarray(a) for a in (p, q, c))
    assert np.allclose(hermite(p), polynomial(p), rtol=1e-12, atol=1e-12)
    for name in ("value", "derivative"):
        ours, theirs = getattr(hermite, name), getattr(polynomial, name)
        # The powers of the polynomial cancel, by about 1e4 at degree 7.
        assert abs(ours(p, q, c) - theirs(p, q, c)) < 1e-11 * (1 + scales(ours, p, q))


@pytest.mark.parametrize("n", range(8))
def test_hermite_polynomials_are_orthonormal_powers_at_unit_variance(n):
    rho = np.linspace(-1, 1, 9)
    one = np.ones_like(rho)
    assert np.array_equal(duals.Hermite(n).value(one, one, rho), rho**n)


def test_arc_cosine_polynomials_are_those_of_cho_and_saul():
    # J_0 = pi - t, J_1 = sin t + (pi - t) cos t,
    # J_2 = 3 sin t cos t + (pi - t) (1 + 2 cos^2 t).
    assert arc_cosine_coefficients(0) == ((1,), ())
    assert arc_cosine_coefficients(1) == ((0, 1), (1,))
    assert arc_cosine_coefficients(2) == ((1, 0, 2), (0, 3))


@given(st.integers(1, 40))
def test_arc_cosine_polynomials_solve_their_equation_in_integers(n):
    # (1 - rho^2) (B_n' - n^2 B_{n-1}) - rho B_n + A_n = 0, at more than n + 2 integers.
    a, b = arc_cosine_coefficients(n)
    below = arc_cosine_coefficients(n - 1)[1]
    slope = [j * b[j] for j in range(1, n)]
    for rho in range(n + 3):
        steep = at(slope, rho) - n**2 * at(below, rho)
        assert (1 - rho**2) * steep - rho * at(b, rho) + at(a, rho) == 0


def at(coefficients, x):
    return sum(coefficient * x**j for j, coefficient in enumerate(coefficients))


@given(st.integers(0, 40))
def test_powers_have_the_moments_of_a_normal_variable(n):
    moment = 1
    for odd in range(1, 2 * n, 2):
        moment *= odd
    assert sum(power_coefficients(n)) == moment
    one = np.asarray(1.0)
    assert np.isclose(duals.RectifiedMonomial(n).value(one, one, one), moment / 2)


def test_gelu_close_to_relu_for_large_inputs():
    p, q, c = (1e8 * np.asarray(a) for a in (2.0, 3.0, 1.5))
    gelu, relu = (f.value(p, q, c) for f in (duals.Gelu(), duals.Relu()))
    assert np.isclose(gelu, relu, rtol=1e-7)


def test_approximate_gelu_stays_within_its_stated_distance():
    x = np.linspace(-20, 20, 100001)
    assert np.max(np.abs(duals.Gelu()(x) - duals.Gelu(approximate=True)(x))) < 5e-4
