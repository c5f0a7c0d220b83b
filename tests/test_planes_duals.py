"""The compiled dual activations against ``dual_activations`` in float64."""

import numpy as np
import pytest
from dual_cases import ACTIVATIONS, NAMES, dual, evaluation, grid
from numba import njit

import tangency as tg
from tangency.kernels.planes.encode_activation import NoDual, dual_of
from tangency.kernels.planes.families import Family

# Functions with a kink: k_dot is infinitely steep where the inputs are parallel.
KINKED = (tg.ABRelu, tg.Sign, tg.Step)


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
