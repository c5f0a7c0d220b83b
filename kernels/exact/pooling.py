"""Covariance rules of pools and of Flatten, which end the spatial axes."""

from dataclasses import replace
from math import prod
from typing import Any

from array_api_compat import array_namespace

from ..layers import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from ..layers.signature import trace
from .axes import window_sums
from .rules import propagate
from .state import Array, Covariances


@propagate.register(SumPool)
@propagate.register(AvgPool)
def _(layer: SumPool, state: Covariances, full: Any) -> Covariances:
    """Both windows move on their own, so all pairs of pixels mix."""
    dims, window, padding = state.dims, layer.window_shape, layer.padding
    mean = isinstance(layer, AvgPool)

    def pool(k: Array) -> Array:
        k = window_sums(k, dims, window, layer.strides, padding, both=state.full)
        if mean and not layer.normalize_edges:
            return k / prod(window) ** 2
        return k / _pixels_inside(k) if mean else k

    def _pixels_inside(k: Array) -> Array:
        """Products of the number of pixels under the two windows."""
        xp = array_namespace(k)
        ones = xp.ones_like(state.nngp[(0,) * 2])
        args = (dims, window, layer.strides, padding, state.full)
        return window_sums(ones, *args)

    return state.map(pool, trace(layer, state.signature))


@propagate.register(GlobalAvgPool)
@propagate.register(GlobalSumPool)
def _(layer: Any, state: Covariances, full: Any) -> Covariances:
    dims = state.dims
    axes = tuple(range(-2 * dims, 0))

    def pool(k: Array) -> Array:
        if not dims:
            return k
        xp = array_namespace(k)
        reduce = xp.mean if isinstance(layer, GlobalAvgPool) else xp.sum
        return reduce(k, axis=axes)

    return replace(state.map(pool, trace(layer, state.signature)), full=False)


@propagate.register
def _(layer: Flatten, state: Covariances, full: Any) -> Covariances:
    state = state.only_diagonal()
    axes = tuple(range(-state.dims, 0))

    def mean(k: Array) -> Array:
        return array_namespace(k).mean(k, axis=axes) if axes else k

    return state.map(mean, trace(layer, state.signature))
