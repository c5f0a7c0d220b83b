"""Feature rules of layers with weights, normalisation, and layers that join."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from ..kernels.layers import (
    Conv,
    Dense,
    Dropout,
    FanInConcat,
    FanInSum,
    LayerNorm,
)
from ..kernels.layers.signature import LayerError, concat_axis, norm_axes, trace
from .blocks import Array, Block, Blocks, scaled, times
from .blocks import gained as with_gain
from .state import Features, constant
from .walk import carry
from .windows import Window


@carry.register
def _(layer: Dense, state: Features) -> Features:
    return _weighted(layer, state, state, state.signature.channels)


@carry.register
def _(layer: Conv, state: Features) -> Features:
    """The features of a patch, which stay where they are."""
    window = Window(layer.filter_shape, layer.strides, layer.padding)

    def patches(block: Block) -> Block:
        block = block.plain()
        return replace(block, window=window, scale=block.scale * window.taps**-0.5)

    known = state.known
    if known is not None:
        known = window.sums(known) / window.taps
    mixed = state.map(patches, trace(layer, state.signature), known)
    return _weighted(layer, state, mixed, state.signature.channels * window.taps)


def _weighted(
    layer: Dense | Conv, before: Features, mixed: Features, fan_in: int
) -> Features:
    """Random weights applied to ``mixed``."""
    signature = trace(layer, before.signature)
    array = before.phi[0].array

    def ones(value: Any) -> Blocks:
        return (constant(array, signature.spatial, value),)

    bias = () if layer.b_std is None else ones(layer.b_std)
    phi = scaled(mixed.phi, layer.W_std) + bias
    known = mixed.known
    if known is not None:
        known = _squared(known, layer.W_std)
        if bias:
            known = known + bias[0].squares()
    if mixed.psi is None:
        return replace(mixed, phi=phi, signature=signature, known=known)
    psi = scaled(mixed.all_psi, layer.W_std)
    if layer.parameterization == "standard":
        psi = psi + scaled(mixed.phi, fan_in**0.5) + (ones(1.0) if bias else ())
        return Features(phi, psi, 0.0, signature, known)
    return Features(phi, psi, 1.0, signature, known)


def _squared(variance: Array, std: Any) -> Array:
    return times(times(variance, std), std)


@carry.register
def _(layer: LayerNorm, state: Features) -> Features:
    axes = tuple(a + 1 for a in norm_axes(layer, len(state.signature.spatial)))
    v = state.variance[..., 0]
    xp = array_namespace(v)
    mean = xp.mean(v, axis=axes, keepdims=True) if axes else v
    gain = xp.broadcast_to((mean + layer.eps) ** -0.5, v.shape)
    return replace(
        state,
        phi=with_gain(state.phi, gain),
        psi=None if state.psi is None else with_gain(state.psi, gain),
        signature=trace(layer, state.signature),
        known=None if state.known is None else (gain * gain * v)[..., None],
    )


@carry.register
def _(layer: Dropout, state: Features) -> Features:
    if layer.mode == "test" or layer.rate == 0:
        return state
    raise LayerError(
        "dropout in training changes only the kernel of an input with itself, which no "
        "features of single inputs can express; use Dropout(rate, mode='test') or the "
        "exact kernel"
    )


@carry.register
def _(layer: FanInSum, state: tuple[Features, ...]) -> Features:
    return _side_by_side(layer, state, [1.0] * len(state))


@carry.register
def _(layer: FanInConcat, state: tuple[Features, ...]) -> Features:
    signatures = [s.signature for s in state]
    axis = concat_axis(layer, len(signatures[0].spatial))
    if axis is None:
        total = sum(s.channels for s in signatures)
        return _side_by_side(layer, state, [s.channels / total for s in signatures])
    sizes = [s.spatial[axis] for s in signatures]
    phi = _stacked([s.phi for s in state], axis, sizes)
    psi = None
    if state[0].psi is not None:
        psi = _stacked([s.all_psi for s in state], axis, sizes)
    known = None
    if _anything_known(state):
        variances = [s.variance for s in state]
        known = array_namespace(*variances).concat(variances, axis=axis + 1)
    return Features(phi, psi, 0.0, trace(layer, tuple(signatures)), known)


def _anything_known(state: tuple[Features, ...]) -> bool:
    return any(s.known is not None for s in state)


def _side_by_side(
    layer: Any, state: tuple[Features, ...], weights: Sequence[float]
) -> Features:
    """The kernels' sum with ``weights``: a direct sum of the features."""
    signature = trace(layer, tuple(s.signature for s in state))

    def join(parts: list[Blocks]) -> Blocks:
        each = (scaled(p, w**0.5) for p, w in zip(parts, weights, strict=True))
        return sum(each, ())

    phi = join([s.phi for s in state])
    known = None
    if _anything_known(state):
        known = sum(w * s.variance for w, s in zip(weights, state, strict=True))
    if state[0].psi is None:
        return Features(phi, None, 0.0, signature, known)
    if len({s.share for s in state}) == 1:
        psi = join([s.psi for s in state])
        return Features(phi, psi, state[0].share, signature, known)
    return Features(phi, join([s.all_psi for s in state]), 0.0, signature, known)


def _stacked(parts: list[Blocks], axis: int, sizes: list[int]) -> Blocks:
    """Branches one after the other along a spatial axis, each in features of its own:
    independent branches have the kernel 0 with one another."""
    out = []
    for i, blocks in enumerate(parts):
        for block in blocks:
            plain = block.plain()
            x = plain.array
            xp = array_namespace(x)
            index = [slice(None)] * x.ndim
            index[axis + 1] = slice(0, 1)
            blank = xp.zeros_like(x[tuple(index)])
            before, after = sum(sizes[:i]), sum(sizes[i + 1 :])
            pieces = [*[blank] * before, x, *[blank] * after]
            out.append(replace(plain, array=xp.concat(pieces, axis=axis + 1)))
    return tuple(out)
