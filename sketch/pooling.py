"""Feature rules of pools and of Flatten."""

from math import prod
from typing import Any

from array_api_compat import array_namespace

from ..kernels.layers import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from ..kernels.layers.signature import trace
from .blocks import Block
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
        return Block(sums, scale=block.scale)

    return state.map(pool, trace(layer, state.signature))


@carry.register(GlobalAvgPool)
@carry.register(GlobalSumPool)
def _(layer: Any, state: Features) -> Features:
    axes = tuple(range(1, 1 + len(state.signature.spatial)))

    def pool(block: Block) -> Block:
        block = block.plain()
        xp = array_namespace(block.array)
        reduce = xp.mean if isinstance(layer, GlobalAvgPool) else xp.sum
        array = reduce(block.array, axis=axes) if axes else block.array
        return Block(array, scale=block.scale)

    return state.map(pool, trace(layer, state.signature))


@carry.register
def _(layer: Flatten, state: Features) -> Features:
    """mean_p phi_p phi_p' is the product of all phi_p / sqrt(pixels) side by side."""
    pixels = prod(state.signature.spatial)

    def flatten(block: Block) -> Block:
        block = block.plain()
        flat: Array = array_namespace(block.array).reshape(
            block.array, (block.array.shape[0], -1)
        )
        return Block(flat, scale=block.scale * pixels**-0.5)

    return state.map(flatten, trace(layer, state.signature))
