"""Duals at correlation +-1, at zero rows, at tiny and huge norms, and on overflow."""

import warnings

import jax
import numpy as np
import pytest
import torch
from closed_form_duals import (
    ALL,
    EXPONENTIALS,
    NORMALIZED,
    ONE_OF_EACH,
    POLYNOMIALS,
    largest_variance,
)

import tangency.dual_activations as duals

NORMS = [1e-12, 1e-6, 1.0, 1e6, 1e12]
PRECISIONS = ["float32", "float64"]


def edges(largest, dtype):
    """p, q, c of all pairs of norms up to ``largest`` at correlation 0, 1/2, +-1 and
    near them, and of pairs with a zero row."""
    norms = [v for v in NORMS if v <= largest]
    rhos = [-1, -1 + 1e-6, 0, 0.5, 1 - 1e-6, 1]
    rows = [(p, q, r * (p * q) ** 0.5) for p in norms for q in norms for r in rhos]
    rows += [(p, 0, 0) for p in [0, *norms]] + [(0, q, 0) for q in norms]
    return tuple(np.asarray(a, dtype=dtype) for a in zip(*rows, strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("f", ALL, ids=repr)
def test_values_are_finite_on_numpy_without_a_warning(f, precision):
    args = edges(largest_variance(f, precision), precision)
    for k in f.value_and_derivative(*args):
        assert k.dtype == precision
        assert np.all(np.isfinite(k))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("f", ALL, ids=repr)
def test_gradients_are_finite_on_torch(f, precision):
    args = edges(largest_variance(f, precision), precision)
    args = [torch.tensor(a, requires_grad=True) for a in args]
    for k in f.value_and_derivative(*args):
        assert k.dtype == getattr(torch, precision)
        assert torch.isfinite(k).all()
        if k.requires_grad:
            grads = torch.autograd.grad(
                k.sum(), args, allow_unused=True, retain_graph=True
            )
            for g in filter(torch.is_tensor, grads):
                assert torch.isfinite(g).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_values_and_gradients_are_finite_on_jax_under_jit(precision):
    with jax.enable_x64(precision == "float64"):
        results = jax.jit(all_values_and_gradients, static_argnums=0)(precision)
        for f, (values, gradients) in zip(ONE_OF_EACH, results, strict=True):
            for a in (*values, *sum(gradients, ())):
                assert a.dtype == precision, f
                assert jax.numpy.isfinite(a).all(), f


def all_values_and_gradients(precision):
    """One program for all activations: compiling them one by one takes a minute."""
    results = []
    for f in ONE_OF_EACH:
        args = edges(largest_variance(f, precision), precision)
        args = tuple(jax.numpy.asarray(a) for a in args)
        values, pull_back = jax.vjp(f.value_and_derivative, *args)
        one, zero = jax.numpy.ones_like(args[0]), jax.numpy.zeros_like(args[0])
        results.append((values, (pull_back((one, zero)), pull_back((zero, one)))))
    return results


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_zero_rows_are_finite_on_any_array(f, xp):
    zero, one = (xp.asarray([v], dtype=xp.float32) for v in (0.0, 1.0))
    for k in (*f.value_and_derivative(zero, one, zero), f.variance(zero)):
        assert k.dtype == xp.float32
        assert bool(xp.all(xp.isfinite(k)))


@pytest.mark.parametrize("f", [f for f in ALL if f not in NORMALIZED], ids=repr)
def test_a_zero_row_gives_the_covariance_of_a_constant(f):
    # E[f(0) f(v)] = f(0) E[f(v)], and E[f(v)]^2 is k at correlation 0.
    zero, one = np.asarray(0.0), np.asarray(1.0)
    mean = f(zero) * np.sqrt(f.value(one, one, zero))
    assert np.isclose(abs(f.value(zero, one, zero)), abs(mean), atol=1e-15)
    assert np.isclose(f.variance(zero), f(zero) ** 2, atol=1e-15)


@pytest.mark.parametrize("n", range(6))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rectified_monomials_are_right_on_the_diagonal(n, precision):
    # The predecessor gives NaN at every entry with x1 = x2.
    p = np.asarray([0.0, 0.3, 1.0, 7.0], dtype=precision)
    moment = float(np.prod(np.arange(1, 2 * n, 2)))
    expected = moment / 2 * p**n
    if n == 0:
        expected[0] = 0.25  # f(0) = 1/2
    k = duals.RectifiedMonomial(n).value(p, p, p)
    assert np.allclose(k, expected, rtol=2e-7, atol=0)
    opposite = duals.RectifiedMonomial(n).value(p[1:], p[1:], -p[1:])
    assert np.all(np.abs(opposite) <= 2e-7 * k[1:])


@pytest.mark.parametrize("f", POLYNOMIALS, ids=repr)
def test_polynomials_are_right_at_zero_rows(f):
    # The predecessor divides 0 by 0 there.
    zero, q = np.zeros(3), np.asarray([0.0, 1.0, 5.0])
    mean = np.asarray([f.value(zero[:1], q[i : i + 1], zero[:1])[0] for i in range(3)])
    assert np.all(np.isfinite(mean))
    assert np.isclose(mean[0], f(zero)[0] ** 2)


@pytest.mark.parametrize("f", [duals.Sin(), duals.Cos(), duals.Rbf(0.5)], ids=repr)
def test_sines_do_not_overflow_where_their_factors_do(f):
    # e^{-p} sinh(c) has an infinite factor from c = 89 on in float32.
    p = np.asarray([80.0, 89.0, 200.0, 1e4, 1e12], dtype=np.float32)
    limit = 1.0 if isinstance(f, duals.Rbf) else 0.5
    assert np.allclose(f.value(p, p, p), limit, rtol=1e-6)
    assert np.allclose(f.derivative(p, p, p), limit, rtol=1e-6)


@pytest.mark.parametrize("f", EXPONENTIALS, ids=repr)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_exponentials_overflow_to_infinity_and_never_to_nan(f, precision):
    args = edges(1e12, precision)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow", RuntimeWarning)
        for k in f.value_and_derivative(*args):
            assert not np.any(np.isnan(k))
            assert np.any(np.isinf(k))


def test_odd_functions_have_no_covariance_with_an_uncorrelated_input_of_any_norm():
    zero, p = np.zeros(1, np.float32), np.full(1, 1e12, np.float32)
    for f in (duals.Sinh(), duals.Monomial(5), duals.Hermite(3)):
        assert f.value(p, p, zero) == 0
        assert f.value(zero, p, zero) == 0
    assert duals.Cosh().derivative(p, p, zero) == 0
