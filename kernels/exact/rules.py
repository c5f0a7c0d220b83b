"""The dispatcher of the exact engine, and networks of layers.

Every rule maps ``Covariances`` to ``Covariances``; the files beside this one hold one
layer family each.
"""

from dataclasses import replace
from functools import singledispatch
from typing import Any

from ..layers import FanOut, Identity, Parallel, Serial
from ..layers.needs import serial_needs
from ..layers.signature import trace
from .state import Covariances


@singledispatch
def propagate(layer: Any, state: Any, full: Any) -> Any:
    """The covariances after ``layer``.

    Args:
        layer: a layer description.
        state: the covariances before it; a tuple of them between branches.
        full: whether pairs of different pixels are needed afterwards.
    """
    raise TypeError(
        f"the exact engine has no rule for {type(layer).__name__}; register one with "
        "tangency.kernels.exact.rules.propagate.register"
    )


@propagate.register
def _(layer: Serial, state: Any, full: Any) -> Any:
    needs = serial_needs(layer, full)[1:]
    for inner, need in zip(layer.layers, needs, strict=True):
        state = propagate(inner, state, need)
        if isinstance(state, Covariances) and not _any(need):
            state = state.only_diagonal()
    return state


@propagate.register
def _(layer: Parallel, state: tuple[Covariances, ...], full: Any) -> Any:
    each = full if isinstance(full, tuple) else (full,) * len(layer.branches)
    return tuple(map(propagate, layer.branches, state, each))


@propagate.register
def _(layer: FanOut, state: Covariances, full: Any) -> tuple[Covariances, ...]:
    signatures = trace(layer, state.signature)
    return tuple(replace(state, signature=signature) for signature in signatures)


@propagate.register
def _(layer: Identity, state: Covariances, full: Any) -> Covariances:
    return state


def _any(need: Any) -> bool:
    return any(need) if isinstance(need, tuple) else need
