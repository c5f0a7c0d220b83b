"""Which covariances a network needs: of all pairs of pixels, or of equal pixels only.

A pool mixes pixels, so it needs all pairs before it. ``Flatten`` needs equal pixels
only, and so does everything between the last pool and it.
"""

from functools import singledispatch
from typing import Any

from .branching import FanInConcat, FanInProd, FanInSum, FanOut
from .graph import Parallel, Serial
from .pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from .shape import Flatten


@singledispatch
def needs_pairs(layer: Any, after: Any) -> Any:
    """Whether ``layer`` needs all pairs of pixels, given what is needed after it.

    Between ``FanOut`` and ``FanIn`` both are tuples, one entry per branch.
    """
    return after


@needs_pairs.register
def _(layer: Serial, after: Any) -> Any:
    return serial_needs(layer, after)[0]


def serial_needs(layer: Serial, after: Any) -> list[Any]:
    """The need before every layer of ``layer``, and at last ``after``."""
    needs = [after]
    for inner in reversed(layer.layers):
        needs.append(needs_pairs(inner, needs[-1]))
    return needs[::-1]


@needs_pairs.register
def _(layer: Parallel, after: Any) -> tuple[Any, ...]:
    each = after if isinstance(after, tuple) else (after,) * len(layer.branches)
    return tuple(map(needs_pairs, layer.branches, each))


@needs_pairs.register
def _(layer: FanOut, after: Any) -> bool:
    return any(after) if isinstance(after, tuple) else after


@needs_pairs.register(FanInSum)
@needs_pairs.register(FanInProd)
@needs_pairs.register(FanInConcat)
def _(layer: Any, after: bool) -> bool:
    return after


@needs_pairs.register(SumPool)
@needs_pairs.register(AvgPool)
def _(layer: Any, after: bool) -> bool:
    return after or any(size > 1 for size in layer.window_shape)


@needs_pairs.register(GlobalAvgPool)
@needs_pairs.register(GlobalSumPool)
def _(layer: Any, after: bool) -> bool:
    return True


@needs_pairs.register
def _(layer: Flatten, after: bool) -> bool:
    return False
