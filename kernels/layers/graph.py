"""Networks: layers in sequence, in parallel, repeated."""

from dataclasses import dataclass
from typing import Any

from ...dual_activations import Activation
from .base import Layer


@dataclass(frozen=True)
class Serial(Layer):
    """Layers applied one after the other. Made by ``serial``."""

    layers: tuple[Any, ...]


@dataclass(frozen=True)
class Parallel(Layer):
    """Branches side by side, one input and one output each. Made by ``parallel``."""

    branches: tuple[Any, ...]


def serial(*layers: Any) -> Serial:
    """The network that applies ``layers`` in order.

    Args:
        layers: layer descriptions, activations, or networks made by ``serial`` and
            ``parallel``.

    Raises:
        TypeError: an argument is not a layer; the message gives its position.
    """
    return Serial(_checked("serial", layers))


def parallel(*branches: Any) -> Parallel:
    """One branch per input, as after ``FanOut``; joined by ``FanInSum``, ``FanInProd``
    or ``FanInConcat``."""
    return Parallel(_checked("parallel", branches))


def repeat(layer: Any, n: int) -> Serial:
    """``layer``, n times in sequence; every repetition has weights of its own."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"repeat: n is {n!r}, expected an integer >= 1")
    return serial(*(layer,) * n)


def _checked(name: str, layers: tuple[Any, ...]) -> tuple[Any, ...]:
    if not layers:
        raise ValueError(f"{name}: no layers were given, expected at least one")
    for i, layer in enumerate(layers):
        if isinstance(layer, type) and issubclass(layer, (Layer, Activation)):
            raise TypeError(
                f"{name}: argument {i} is the class {layer.__name__}, expected an "
                f"instance; write {layer.__name__}(...)"
            )
        if not isinstance(layer, (Layer, Activation)):
            raise TypeError(
                f"{name}: argument {i} is {layer!r} of type {type(layer).__name__}, "
                "expected a layer or an activation, e.g. Dense(64) or Relu()"
            )
    return layers
