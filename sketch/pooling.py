"""Feature rules of pools and of Flatten."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from array_api_compat import array_namespace

from ..kernels.layers import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from ..kernels.layers.signature import Signature, trace
from .blocks import Block, squares
from .state import Array, Features
from .walk import carry
from .windows import Window


@carry.register(SumPool)
@carry.register(AvgPool)
def _(layer: SumPool, state: Features) -> Features:
    window = Window(layer.window_shape, layer.strides, layer.padding)
    mean = isinstance(layer, AvgPool)

    def pool(block: Block) -> Block:
        block = block.plain()
        sums = window.sums(block.array)
        if mean and layer.normalize_edges:
            one = array_namespace(sums).ones_like(block.array[:1, ..., :1])
            sums = sums / window.sums(one)
        elif mean:
            sums = sums / window.taps
        return replace(block, array=sums)

    def pooled_noise(noise: Array) -> Array:
        # The sum over a window of T pixels: of a mean, its square has 1 / T^2 of it.
        sums = window.sums(noise)
        if not mean:
            return sums
        if not layer.normalize_edges:
            return sums / window.taps**2
        counts = window.sums(array_namespace(noise).ones_like(noise[:1, ...]))
        return sums / (counts * counts)

    return _pooled(state, pool, pooled_noise, trace(layer, state.signature))


@carry.register(GlobalAvgPool)
@carry.register(GlobalSumPool)
def _(layer: Any, state: Features) -> Features:
    axes = tuple(range(1, 1 + len(state.signature.spatial)))
    pixels = prod(state.signature.spatial)

    def pool(block: Block) -> Block:
        block = block.plain()
        xp = array_namespace(block.array)
        reduce = xp.mean if isinstance(layer, GlobalAvgPool) else xp.sum
        array = reduce(block.array, axis=axes) if axes else block.array
        return replace(block, array=array)

    def pooled_noise(noise: Array) -> Array:
        xp = array_namespace(noise)
        sums = xp.sum(noise, axis=axes) if axes else noise
        return sums / pixels**2 if isinstance(layer, GlobalAvgPool) else sums

    return _pooled(state, pool, pooled_noise, trace(layer, state.signature))


def _pooled(
    state: Features,
    pool: Callable[[Block], Block],
    pooled_noise: Callable[[Array], Array],
    signature: Signature,
) -> Features:
    """Pooled features. What they lack of the variances is treated as noise that is
    independent between pixels, as nothing else is known of it."""
    after = state.map(pool, signature)
    if state.known is None:
        return after
    xp = array_namespace(state.known)
    seen = squares(after.phi)
    known = seen + pooled_noise(state.known - squares(state.phi))
    # Random features may have too large norms: enough must be left of the sum.
    return replace(after, known=xp.maximum(known, seen / 2))


@carry.register
def _(layer: Flatten, state: Features) -> Features:
    """mean_p phi_p phi_p' is the product of all phi_p / sqrt(pixels) side by side."""
    pixels = prod(state.signature.spatial)

    def flatten(block: Block) -> Block:
        block = block.plain()
        flat: Array = array_namespace(block.array).reshape(
            block.array, (block.array.shape[0], -1)
        )
        return replace(block, array=flat, scale=block.scale * pixels**-0.5)

    known = state.known
    if known is not None:
        known = array_namespace(known).reshape(known, (known.shape[0], -1, 1))
        known = array_namespace(known).mean(known, axis=1)
    return state.map(flatten, trace(layer, state.signature), known)
