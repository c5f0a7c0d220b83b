"""Covariance rules of layers that act on every unit alone."""

from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from ...dual_activations import Activation
from ..layers import Dropout, LayerNorm
from ..layers.signature import norm_axes, trace
from .axes import pair_shapes, self_shapes
from .rules import propagate
from .state import Array, Covariances


@propagate.register
def _(layer: Activation, state: Covariances, full: Any) -> Covariances:
    """nngp' = k(p, q, c), ntk' = ntk * k_dot(p, q, c)."""
    v1, v2 = state.variances
    p, q = pair_shapes(v1, v2, state.dims, state.full)
    if state.ntk is None:
        nngp, ntk = layer.value(p, q, state.nngp), None
    else:
        nngp, slope = layer.value_and_derivative(p, q, state.nngp)
        ntk = slope * state.ntk

    def own(cov: Array | None, v: Array) -> Array | None:
        if cov is None:
            return None
        if not state.full:
            return layer.variance(cov)
        return layer.value(*self_shapes(v, state.dims, True), cov)

    return replace(
        state,
        nngp=nngp,
        ntk=ntk,
        cov1=own(state.cov1, v1),
        cov2=own(state.cov2, v2),
        signature=trace(layer, state.signature),
    )


@propagate.register
def _(layer: LayerNorm, state: Covariances, full: Any) -> Covariances:
    axes = tuple(a + 1 for a in norm_axes(layer, state.dims))

    def inverse_std(v: Array) -> Array:
        xp = array_namespace(v)
        mean = xp.mean(v, axis=axes, keepdims=True) if axes else v
        return xp.broadcast_to((mean + layer.eps) ** -0.5, v.shape)

    r1, r2 = (inverse_std(v) for v in state.variances)
    left, right = pair_shapes(r1, r2, state.dims, state.full)

    def own(cov: Array | None, r: Array) -> Array | None:
        if cov is None:
            return None
        a, b = self_shapes(r, state.dims, state.full)
        return cov * a * b

    return replace(
        state,
        nngp=state.nngp * left * right,
        ntk=None if state.ntk is None else state.ntk * left * right,
        cov1=own(state.cov1, r1),
        cov2=own(state.cov2, r2),
        signature=trace(layer, state.signature),
    )


@propagate.register
def _(layer: Dropout, state: Covariances, full: Any) -> Covariances:
    """Only a unit's covariance with itself knows that it was dropped."""
    if layer.mode == "test" or layer.rate == 0:
        return state
    gain = 1 / (1 - layer.rate)
    symmetric = state.cov1 is None

    def between(k: Array | None) -> Array | None:
        if k is None or not symmetric:
            return k
        xp = array_namespace(k)
        same = _equal(xp, k, 0, 1) & _same_pixel(xp, k, state)
        return xp.where(same, gain * k, k)

    def own(k: Array | None) -> Array | None:
        if k is None:
            return None
        xp = array_namespace(k)
        return xp.where(_same_pixel(xp, k, state), gain * k, k)

    return replace(
        state,
        nngp=between(state.nngp),
        ntk=between(state.ntk),
        cov1=own(state.cov1),
        cov2=own(state.cov2),
        signature=trace(layer, state.signature),
    )


def _same_pixel(xp: Any, k: Array, state: Covariances) -> Array:
    """A mask that broadcasts to ``k``: True where both pixels are the same one."""
    mask = xp.ones_like(k[(0,) * k.ndim], dtype=xp.bool)
    if state.full:
        for i in range(state.dims):
            mask = mask & _equal(
                xp, k, k.ndim - 2 * state.dims + i, k.ndim - state.dims + i
            )
    return mask


def _equal(xp: Any, k: Array, a: int, b: int) -> Array:
    """A mask that broadcasts to ``k``: True where the indices on axes a and b agree."""
    eye = xp.eye(k.shape[a], dtype=xp.bool)
    shape = [1] * k.ndim
    shape[a] = shape[b] = k.shape[a]
    return xp.reshape(eye, tuple(shape))
