"""The compiled dual activations against ``dual_activations`` in float64."""

from functools import cache

import numpy as np
import pytest
from numba import njit

import tangency as tg
from tangency import dual_activations
from tangency.kernels.planes.cpu_cache import cached_njit
from tangency.kernels.planes.cpu_duals import determinant, partials, value
from tangency.kernels.planes.cpu_lanes import LANES, load, store
from tangency.kernels.planes.encode_activation import NoDual, dual_of
from tangency.kernels.planes.families import Family

ACTIVATIONS = (
    tg.Relu(),
    tg.ABRelu(-0.4, 1.3),
    tg.Abs(),
    tg.Sign(),
    tg.Step(),
    *(tg.RectifiedMonomial(n) for n in (2, 3, 5)),
    tg.ExpNormalized(1.5, -0.8),
    tg.Erf(1.3, 0.7, 0.2),
    tg.Gelu(),
    tg.ScaledGelu(1.702),
    tg.Sin(1.2, 0.8, 0.3),
    tg.Cos(0.9, 1.1, 0.2),
    tg.Rbf(0.7),
    tg.Exp(0.5, 0.6),
    tg.Sinh(0.7, 0.8),
    tg.Cosh(0.7, 0.8),
    dual_activations.Gaussian(1.2, -0.8),
    tg.DampedSin(0.4, 1.3, 0.5),
    tg.Gabor(),
    tg.Monomial(3),
    tg.Hermite(4),
    tg.Polynomial((0.1, 0.5, -0.3, 0.2)),
)
NAMES = [repr(f) for f in ACTIVATIONS]
# Functions with a kink: k_dot is infinitely steep where the inputs are parallel.
KINKED = (tg.ABRelu, tg.Sign, tg.Step)


@cache
def compiled(family):
    """``partials`` of a family over arrays; its first two results are ``value``'s."""
    return cached_njit()(evaluation(int(family)))


def evaluation(family):
    def run(c, p, q, M, N, par, out):
        n = c.shape[0]
        for j in range(0, n, LANES):
            lanes = load(c, j)
            det = determinant(load(p, j), load(q, j), lanes)
            v = value(family, lanes, det, M, j, n, N, j, n, par, 0)
            d = partials(family, lanes, det, M, j, n, N, j, n, par, 0)
            store(out, j, v[0])
            store(out, n + j, v[1])
            store(out, 2 * n + j, d[2])
            store(out, 3 * n + j, d[3])
            store(out, 4 * n + j, d[4])
            store(out, 5 * n + j, d[5])
            store(out, 6 * n + j, d[6])
            store(out, 7 * n + j, d[7])

    return run


def dual(activation, p, q, c, dtype=np.float64):
    """k, k_dot, k_c, k_dot_c, k_p, k_q, k_dot_p, k_dot_q of the compiled engine."""
    spec = dual_of(activation)
    n = c.size
    pad = -n % LANES
    p, q, c = (np.pad(np.ravel(x), (0, pad), mode="edge") for x in (p, q, c))
    maps = [np.ascontiguousarray(spec.maps(x).astype(dtype)).ravel() for x in (p, q)]
    par = np.zeros(8, dtype)
    par[: len(spec.parameters)] = spec.parameters
    out = np.full(8 * c.size, np.nan, dtype)
    arrays = (x.astype(dtype) for x in (c, p, q))
    compiled(spec.family)(*arrays, *maps, par, out)
    return out.reshape(8, -1)[:, :n]


def grid(correlations, variances=(0.05, 0.3, 1.0, 1.7, 4.0)):
    """p, q, c with q > 0 on all combinations."""
    p, q, rho = np.meshgrid(variances, variances, correlations, indexing="ij")
    p, q, rho = p.ravel(), q.ravel(), rho.ravel()
    return p, q, rho * np.sqrt(p * q)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_duals_equal_their_reference_in_float64(activation):
    p, q, c = grid((-0.999, -0.7, -0.2, 0.0, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9))
    k, slope = dual(activation, p, q, c)[:2]
    expected = activation.value_and_derivative(p, q, c)
    for got, want in zip((k, slope), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13 * abs(want).max())


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_equal_and_zero_inputs_are_exact(activation):
    p = np.repeat([0.0, 1e-12, 0.3, 1.0, 5.0], 3)
    c = p * np.tile([1.0, -1.0, 0.0], 5)
    q = np.where(c == 0, 0.0, p)
    k, slope = dual(activation, p, q, c)[:2]
    expected = activation.value_and_derivative(p, q, c)
    for got, want in zip((k, slope), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_partial_derivatives_equal_finite_differences(activation):
    p, q, c = grid((-0.9, -0.4, 0.0, 0.3, 0.9), (0.2, 0.7, 1.5))
    got = dual(activation, p, q, c)
    h = 1e-4
    steps = ((0, 0, h), (h, 0, 0), (0, h, 0))
    for (dp, dq, dc), rows in zip(steps, ((2, 3), (4, 6), (5, 7)), strict=True):

        def shifted(s, dp=dp, dq=dq, dc=dc):
            return np.stack(
                activation.value_and_derivative(p + s * dp, q + s * dq, c + s * dc)
            )

        # Fourth order: error h^4 f^(5) / 30, about 1e-9 here, and rounding 1e-12.
        slope = (8 * (shifted(1) - shifted(-1)) - (shifted(2) - shifted(-2))) / (12 * h)
        np.testing.assert_allclose(got[list(rows)], slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_float32_is_within_1e_6_of_float64(activation):
    p, q, c = grid(np.linspace(-1, 1, 401))
    p, q, c = (x.astype(np.float32).astype(np.float64) for x in (p, q, c))
    c = np.clip(c, -np.sqrt(p * q), np.sqrt(p * q))
    c = c.astype(np.float32).astype(np.float64)
    # Both take the rounded p, q, c as exact, also at correlations +-1.
    wide = dual(activation, p, q, c)[:2]
    narrow = dual(activation, p, q, c, np.float32)[:2]
    scale = np.sqrt(activation.variance(p) * activation.variance(q))
    assert (abs(narrow[0] - wide[0]) <= 1e-6 * scale).all()
    assert (abs(narrow[1] - wide[1]) <= 1e-6 * max(1, abs(wide[1]).max())).all()


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_derivatives_are_finite_on_equal_opposite_and_zero_inputs(activation):
    p, q, c = grid((-1.0, 0.0, 1.0), (0.0, 1e-12, 0.5, 1.0))
    for dtype in (np.float32, np.float64):
        assert np.isfinite(dual(activation, p, q, c, dtype)).all()


@pytest.mark.parametrize("norm", [1e-6, 1e3])
def test_small_and_large_norms_keep_relative_accuracy(norm):
    p, q, c = (norm**2 * x for x in grid((-0.9, -0.1, 0.0, 0.4, 0.99)))
    for activation in (tg.Relu(), tg.Erf(), tg.Gelu(), tg.Sign()):
        want = activation.value(p, q, c)
        np.testing.assert_allclose(dual(activation, p, q, c)[0], want, rtol=1e-11)
        narrow = dual(activation, p, q, c, np.float32)[0]
        # Variances round to 6e-8 relative, and p q - c^2 multiplies that by 50 at
        # correlation 0.99.
        np.testing.assert_allclose(narrow, want, rtol=1e-5, atol=1e-7 * norm)


def test_hot_loops_are_packed_in_the_assembly():
    run = njit(evaluation(int(Family.RECTIFIER)))
    run(
        *np.ones((3, 16), np.float32), *np.ones((3, 64), np.float32), np.ones(128, "f4")
    )
    assembly = "".join(run.inspect_asm().values())
    packed, single = assembly.count("vfmadd213ps"), assembly.count("vfmadd213ss")
    if not packed + single:
        pytest.skip("this processor has no fused multiply-add of AVX")
    assert packed > 0 and single == 0


def test_an_activation_without_closed_form_is_refused_with_the_way_out():
    class Strange(tg.Activation):
        pass

    with pytest.raises(NoDual, match="Strange.*engine='exact'"):
        dual_of(Strange())
    with pytest.raises(NoDual, match="degree is 9"):
        dual_of(tg.RectifiedMonomial(9))
