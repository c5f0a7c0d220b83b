"""How features travel through a network: it stops where a map has to be chosen.

A linear layer is a rule on features (``carry``). An activation is not: its features are
those of a map that depends on the method, and that may have to be fitted first. So
``walk`` is a generator that yields at every such layer and is sent what follows it.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any, NamedTuple

from ..dual_activations import Activation
from ..kernels.layers import FanInProd, FanOut, Identity, Parallel, Serial
from ..kernels.layers.signature import LayerError, trace
from .state import Features

Map = Callable[[Any], Features]


class Stop(NamedTuple):
    """A layer that needs a map, and what comes into it (a tuple between branches)."""

    layer: Any
    features: Any


@singledispatch
def carry(layer: Any, state: Any) -> Any:
    """The features after a layer that is linear in them.

    Raises:
        LayerError: the layer has no features; the message says why.
    """
    raise LayerError(
        f"no rule for {type(layer).__name__}; register one with "
        "tangency.sketch.walk.carry.register"
    )


@singledispatch
def walk(layer: Any, state: Any) -> Generator[Stop, Features, Any]:
    """Carries ``state`` through ``layer``; yields a ``Stop`` for every map it needs."""
    return carry(layer, state)
    yield  # A generator that never stops.


@walk.register
def _(layer: Serial, state: Any) -> Generator[Stop, Features, Any]:
    for inner in layer.layers:
        state = yield from walk(inner, state)
    return state


@walk.register
def _(layer: Parallel, state: Any) -> Generator[Stop, Features, Any]:
    out = []
    for branch, one in zip(layer.branches, state, strict=True):
        out.append((yield from walk(branch, one)))
    return tuple(out)


@walk.register(Activation)
@walk.register(FanInProd)
def _(layer: Any, state: Any) -> Generator[Stop, Features, Any]:
    return (yield Stop(layer, state))


@carry.register
def _(layer: Identity, state: Features) -> Features:
    return state


@carry.register
def _(layer: FanOut, state: Features) -> tuple[Features, ...]:
    signatures = trace(layer, state.signature)
    return tuple(replace(state, signature=signature) for signature in signatures)


class Walk:
    """The way of some inputs through a network, which goes on where it stopped.

    Args:
        net: the network.
        state: the features that come into it.
    """

    def __init__(self, net: Any, state: Any) -> None:
        self._steps = walk(net, state)
        self._passed = 0
        self._at: Stop | None = None

    def advance(self, maps: Sequence[Map]) -> Any:
        """The features after the network, or the ``Stop`` at which the maps run out.

        Args:
            maps: those of all stops from the first one on, passed ones included.
        """
        try:
            if self._at is None:
                self._at = next(self._steps)
            for fitted in maps[self._passed :]:
                self._at = self._steps.send(fitted(self._at.features))
                self._passed += 1
        except StopIteration as end:
            return end.value
        return self._at


def advance(net: Any, state: Features, maps: Sequence[Map]) -> Any:
    """The features after ``net``, or the ``Stop`` at which the maps run out."""
    return Walk(net, state).advance(maps)
