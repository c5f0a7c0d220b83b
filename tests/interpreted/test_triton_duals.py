"""The dual activations of Triton kernels against those of the CPU engine."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from dual_cases import ACTIVATIONS, NAMES, dual, grid

import tangency as tg
from tangency.kernels.planes.encode_activation import NoDual, dual_of
from tangency.kernels.planes.families import Family
from tangency.kernels.planes.triton import duals
from tangency.kernels.planes.triton.duals import dual_maps, partials, value
from tangency.kernels.planes.triton.elementary import arc, exp, exp_minus_1
from tangency.kernels.planes.triton.encoding import HIGHEST_DEGREE, parameters

BLOCK = 512


@triton.jit
def duals_kernel(
    c_in, det_in, p_in, q_in, out, n, FAMILY: tl.constexpr, PAR: tl.constexpr,
    B: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * B + tl.arange(0, B)
    inside = at < n
    c, det = tl.load(c_in + at, inside, 0.0), tl.load(det_in + at, inside, 0.0)
    M = dual_maps(tl.load(p_in + at, inside, 1.0), FAMILY, PAR, 0)
    N = dual_maps(tl.load(q_in + at, inside, 1.0), FAMILY, PAR, 0)
    k, slope = value(c, det, M, N, FAMILY, PAR, 0)
    tl.store(out + at, k, inside)
    tl.store(out + n + at, slope, inside)
    both = partials(c, det, M, N, FAMILY, PAR, 0)
    for i in tl.static_range(8):
        tl.store(out + (2 + i) * n + at, both[i], inside)


@triton.jit
def elementary_kernel(x_in, out, n, WHICH: tl.constexpr, B: tl.constexpr):
    at = tl.arange(0, B)
    x = tl.load(x_in + at, at < n, 0.0)
    if WHICH == "exp":
        y, z = exp(x), x
    elif WHICH == "exp_minus_1":
        y, z = exp_minus_1(x), x
    else:
        y, z = arc(x)
    tl.store(out + at, y, at < n)
    tl.store(out + n + at, z, at < n)


def triton_duals(activation, p, q, c, dtype):
    """The two results of ``value`` and the eight of ``partials``."""
    spec = dual_of(activation)
    det = np.maximum(p * q - c * c, 0.0)
    arrays = [torch.from_numpy(np.asarray(x, dtype)) for x in (c, det, p, q)]
    out = torch.full((10, c.size), torch.nan, dtype=arrays[0].dtype)
    grid = (triton.cdiv(c.size, BLOCK),)
    par = (parameters(spec),)
    duals_kernel[grid](*arrays, out, c.size, int(spec.family), par, BLOCK)
    return out.numpy()


def assert_near(got, want, tolerance):
    """Relative to the largest number of each row."""
    for one, other in zip(got, want, strict=True):
        largest = abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * (largest or 1))


def elementary(which, x):
    out = torch.full((2, x.size), torch.nan, dtype=torch.from_numpy(x).dtype)
    block = triton.next_power_of_2(x.size)
    elementary_kernel[(1,)](torch.from_numpy(x), out, x.size, which, block)
    return out.numpy()


@pytest.mark.parametrize("family", Family, ids=lambda family: family.name)
def test_families_have_the_same_numbers_in_kernels(family):
    assert getattr(duals, family.name).value == family


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_duals_in_float64_equal_those_of_the_cpu(activation):
    p, q, c = grid((-0.99, -0.7, 0.0, 0.1, 0.5, 0.99))
    got, want = triton_duals(activation, p, q, c, np.float64), dual(activation, p, q, c)
    # The interpreter's det, p q - c^2, has lost up to two digits.
    assert_near(got[:2], want[:2], 1e-13)
    assert_near(got[2:], want, 1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_duals_in_float32_are_accurate(activation):
    p, q, c = grid((-0.9, -0.3, 0.0, 0.5, 0.9), (0.05, 0.3, 1.0, 1.7))
    p, q, c = (x.astype(np.float32).astype(np.float64) for x in (p, q, c))
    got, want = triton_duals(activation, p, q, c, np.float32), dual(activation, p, q, c)
    assert_near(got[:2], want[:2], 1e-6)
    assert_near(got[2:], want, 1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=NAMES)
def test_duals_of_zero_and_of_parallel_inputs_are_finite(activation):
    p, q = np.array([0.0, 0.0, 1.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    c = np.array([0.0, 0.0, 0.0, 1.0, -1.0])
    for dtype in (np.float32, np.float64):
        assert np.isfinite(triton_duals(activation, p, q, c, dtype)).all()


@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("single", "double"))
def test_exponentials_keep_their_digits(dtype):
    x = np.linspace(-80, 80, 501, dtype=dtype)
    tolerance = 4 * np.finfo(dtype).eps
    wide = x.astype(np.longdouble)
    np.testing.assert_allclose(elementary("exp", x)[0], np.exp(wide), rtol=tolerance)
    x = -np.geomspace(1e-20, 80, 301).astype(dtype)
    want = np.expm1(x.astype(np.longdouble))
    np.testing.assert_allclose(elementary("exp_minus_1", x)[0], want, rtol=tolerance)


@pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=("single", "double"))
def test_angles_of_nearly_parallel_inputs_keep_their_digits(dtype):
    e = np.concatenate([np.geomspace(1e-30, 1, 200), np.linspace(1, 2, 50)])
    e = e.astype(dtype)
    theta = 2 * np.arcsin(np.sqrt(e.astype(np.longdouble) / 2))
    got, lune = elementary("arc", e)
    np.testing.assert_allclose(got, theta, rtol=8 * np.finfo(dtype).eps)
    want = np.sin(theta) - theta * np.cos(theta)
    # Below theta = 0.1 the difference itself is lost in extended precision.
    large = theta > 0.1
    np.testing.assert_allclose(lune[large], want[large], rtol=16 * np.finfo(dtype).eps)


def test_polynomials_too_long_to_be_unrolled_are_refused():
    parameters(dual_of(tg.Monomial(HIGHEST_DEGREE)))
    with pytest.raises(NoDual, match="degree 13 is too long"):
        parameters(dual_of(tg.Monomial(HIGHEST_DEGREE + 1)))
