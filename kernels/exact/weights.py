"""Covariance rules of layers with weights: Dense and Conv."""

from dataclasses import replace
from typing import Any

from ..layers import Conv, Dense
from ..layers.signature import trace
from .axes import joint_window_sums
from .rules import propagate
from .state import Array, Covariances


@propagate.register
def _(layer: Dense, state: Covariances, full: Any) -> Covariances:
    return _weighted(layer, state, state, state.signature.channels)


@propagate.register
def _(layer: Conv, state: Covariances, full: Any) -> Covariances:
    taps = 1
    for size in layer.filter_shape:
        taps *= size

    def mean_over_filter(k: Array) -> Array:
        args = (layer.filter_shape, layer.strides, layer.padding, state.full)
        return joint_window_sums(k, state.dims, *args) / taps

    mixed = state.map(mean_over_filter)
    return _weighted(layer, state, mixed, state.signature.channels * taps)


def _weighted(
    layer: Dense | Conv, before: Covariances, mixed: Covariances, fan_in: int
) -> Covariances:
    """Random weights applied to ``mixed``, the mean covariance over their inputs."""
    W, b = layer.W_std**2, 0.0 if layer.b_std is None else layer.b_std**2

    def affine(k: Array | None) -> Array | None:
        return None if k is None else W * k + b

    nngp, ntk = affine(mixed.nngp), None
    if before.want_ntk:
        if layer.parameterization == "ntk":
            gradient = nngp
        else:
            gradient = fan_in * mixed.nngp + (layer.b_std is not None)
        ntk = gradient if mixed.ntk is None else gradient + W * mixed.ntk
    return replace(
        mixed,
        nngp=nngp,
        ntk=ntk,
        cov1=affine(mixed.cov1),
        cov2=affine(mixed.cov2),
        signature=trace(layer, before.signature),
    )
