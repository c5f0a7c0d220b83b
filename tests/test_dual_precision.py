"""Duals in float32 against float64 on the same numbers, near-duplicates above all."""

import jax
import numpy as np
import pytest
import torch
from closed_form_duals import ALL, ONE_OF_EACH


def near_duplicates():
    """p, q, c in float32 with 1 - rho from 1e-12 to 0.1, of either sign, and equal
    inputs; no rounding is left between the two precisions."""
    rng = np.random.default_rng(0)
    p, q = rng.uniform(0.3, 2, (2, 300)).astype(np.float32)
    q[:60] = p[:60]
    # Around correlation 1 the numbers c are coarse, so that a power of two between p
    # and q makes rho exactly 1, and the last bit of q moves it by much less.
    q[60:120] = p[60:120] * np.float32(1 + 2.0**-10)
    gap = 10 ** rng.uniform(-12, -1, 300)
    c = (np.sqrt(p.astype(np.float64) * q) * (1 - gap)).astype(np.float32)
    c[:20] = p[:20]
    sign = np.where(rng.uniform(size=300) < 0.3, -1, 1).astype(np.float32)
    return p, q, sign * c


def assert_close_in_both_precisions(f, single):
    p, q, c = (a.astype(np.float64) for a in near_duplicates())
    double = f.value_and_derivative(p, q, c)
    for dual, value, exact in zip((f.value, f.derivative), single, double, strict=True):
        scale = np.sqrt(dual(p, p, p) * dual(q, q, q))
        assert value.dtype == np.float32
        assert np.all(np.abs(value - exact) <= 1e-6 * scale)


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_float32_agrees_with_float64_for_near_duplicates(f):
    assert_close_in_both_precisions(f, f.value_and_derivative(*near_duplicates()))


@pytest.mark.parametrize("f", ALL, ids=repr)
def test_float32_agrees_with_float64_for_near_duplicates_on_torch(f):
    args = (torch.asarray(a) for a in near_duplicates())
    assert_close_in_both_precisions(
        f, [k.numpy() for k in f.value_and_derivative(*args)]
    )


def test_float32_agrees_with_float64_for_near_duplicates_under_jit():
    # A compiler that contracts or reorders the error-free products would show here.
    program = jax.jit(
        lambda *args: [f.value_and_derivative(*args) for f in ONE_OF_EACH]
    )
    for f, single in zip(ONE_OF_EACH, program(*near_duplicates()), strict=True):
        assert_close_in_both_precisions(f, [np.asarray(k) for k in single])
