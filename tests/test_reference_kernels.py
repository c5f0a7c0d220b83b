"""Exact kernels against float64 kernels computed by another library."""

import jax
import numpy as np
import pytest
import torch
from networks import build, reference_arrays, reference_cases
from quick_jax import QUICK

import tangency as tg

CASES = {case["name"]: case for case in reference_cases()}
# The other library integrates these numerically (Gauss-Hermite), to about 1e-5.
SERIES = {"ElementwiseNumerical": 1e-5}


def tolerance(spec):
    text = repr(spec)
    return max([1e-10, *(tol for name, tol in SERIES.items() if name in text)])


def relative_error(ours, theirs):
    return np.max(np.abs(np.asarray(ours) - theirs)) / np.max(np.abs(theirs))


@pytest.mark.parametrize("engine", ["exact", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_the_reference_on_numpy(name, engine):
    net, tol = build(CASES[name]["spec"]), tolerance(CASES[name]["spec"])
    x1, x2, nngp, ntk = reference_arrays(name)
    kernels = tg.ExactKernel(net, engine)(x1, x2)
    assert relative_error(kernels.nngp, nngp) < tol
    assert relative_error(kernels.ntk, ntk) < tol


@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_the_reference_on_torch(name):
    net, tol = build(CASES[name]["spec"]), tolerance(CASES[name]["spec"])
    x1, x2, nngp, ntk = reference_arrays(name)
    kernels = tg.ExactKernel(net, "exact")(torch.asarray(x1), torch.asarray(x2))
    assert kernels.ntk.dtype == torch.float64
    assert relative_error(kernels.nngp, nngp) < tol
    assert relative_error(kernels.ntk, ntk) < tol


@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_the_reference_on_jax(name):
    net, tol = build(CASES[name]["spec"]), tolerance(CASES[name]["spec"])
    x1, x2, nngp, ntk = reference_arrays(name)
    with jax.enable_x64(True):
        kernel = jax.jit(tg.ExactKernel(net, "exact"), compiler_options=QUICK)
        kernels = kernel(jax.numpy.asarray(x1), jax.numpy.asarray(x2))
        assert kernels.ntk.dtype == np.float64
    assert relative_error(kernels.nngp, nngp) < tol
    assert relative_error(kernels.ntk, ntk) < tol


@pytest.mark.parametrize("name", ["fc_shape_08", "conv_00", "conv_22", "nd_00"])
def test_float32_kernels_equal_the_float64_reference(name, xp):
    x1, x2, nngp, ntk = reference_arrays(name)
    x1, x2 = (xp.asarray(x.astype(np.float32)) for x in (x1, x2))
    kernel = tg.ExactKernel(build(CASES[name]["spec"]), "exact")
    if xp is jax.numpy:
        kernel = jax.jit(kernel, compiler_options=QUICK)
    kernels = kernel(x1, x2)
    assert kernels.ntk.dtype == xp.float32
    assert relative_error(kernels.nngp, nngp) < 1e-6
    assert relative_error(kernels.ntk, ntk) < 1e-6
