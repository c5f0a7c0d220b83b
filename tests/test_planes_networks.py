"""Planes against the exact engine: random networks, values and gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from plane_networks import images, networks

from tangency.kernels import planes
from tangency.kernels.exact import covariances

torch = pytest.importorskip("torch")


def relative(found, expected):
    """The largest error, in units of the largest entry."""
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)


def as_read(program, x):
    """Images as the program reads them: one pixel where a network flattens first."""
    return x.reshape(len(x), *program.shape, program.channels)


def check_values(net, shape, single=True):
    x1, x2 = images(2, shape, 0), images(3, shape, 1)
    program = planes.lower(net, x1.shape)
    expected, own = (covariances(net, x1, x, True) for x in (x2, None))
    x1, x2 = as_read(program, x1), as_read(program, x2)
    nngp, ntk = planes.kernel(program, x1, x2)
    assert relative(nngp, expected.nngp) < 1e-12
    assert relative(ntk, expected.ntk_or_zero) < 1e-12
    # Half of the pairs, and no NTK, are separate paths.
    assert relative(planes.kernel(program, x1, get="nngp"), own.nngp) < 1e-12
    if not single:
        return
    rounded = planes.kernel(program, x1.astype(np.float32), x2.astype(np.float32))
    # Sums of positive and negative entries can be smaller than their terms.
    assert relative(rounded[0], expected.nngp) < 3e-6
    assert relative(rounded[1], expected.ntk_or_zero) < 3e-6


def check_gradients(net, shape, bound=1e-10):
    x1, x2 = images(2, shape, 2), images(2, shape, 3)
    a, b = np.random.default_rng(4).standard_normal((2, 2, 2))
    program = planes.lower(net, x1.shape)
    for other in (x2, None):
        second = None if other is None else as_read(program, other)
        found = planes.vjp(program, as_read(program, x1), second, a, b)
        expected = exact_gradients(net, x1, other, a, b)
        for g, e in zip(found, expected, strict=False):
            assert relative(g.reshape(e.shape), e) < bound


def exact_gradients(net, x1, x2, a, b):
    """Gradients of sum(a nngp + b ntk) by torch, through the exact engine."""
    xs = [torch.tensor(x, requires_grad=True) for x in (x1, x2) if x is not None]
    state = covariances(net, *xs, *[None] * (2 - len(xs)), True)
    total = (state.nngp * torch.tensor(a)).sum()
    total = total + (state.ntk_or_zero * torch.tensor(b)).sum()
    return [g.numpy() for g in torch.autograd.grad(total, xs)]


@settings(max_examples=150)
@given(networks())
def test_planes_equal_the_exact_engine(case):
    check_values(*case)


@settings(max_examples=60)
@given(networks())
def test_gradients_equal_the_exact_engine_s(case):
    check_gradients(*case)


@pytest.mark.slow
@settings(max_examples=1000, derandomize=False)
@given(networks())
def test_planes_equal_the_exact_engine_on_many_networks(case):
    # Pixels or pooled vectors of two channels may be parallel by chance: no bound then
    # holds for float32.
    check_values(*case, single=False)
    # Pools and filters wider than the image make pixels equal. There 1 / sin(theta)
    # is 0, or 1e8 where one bit differs, in either engine; its factor vanishes.
    check_gradients(*case, bound=1e-6)
