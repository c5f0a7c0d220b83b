"""Pooling over windows and over all pixels."""

from dataclasses import dataclass

from .base import Layer
from .convolution import PADDINGS, set_window


@dataclass(frozen=True)
class SumPool(Layer):
    r"""y[p] = sum_{o} x[s p + o] over a window: K'[p, p'] = sum_{o, o'} K[sp + o, sp' +
    o'], and Theta' alike.

    Args:
        window_shape: pixels per spatial axis.
        strides: step per spatial axis; None for 1, as in ``stax`` and flax.
        padding: "VALID", "SAME" (zeros) or "CIRCULAR".
    """

    window_shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    padding: str = "VALID"

    def __post_init__(self) -> None:
        set_window(self, type(self).__name__, "window_shape", PADDINGS)


@dataclass(frozen=True)
class AvgPool(SumPool):
    """The mean over a window: ``SumPool`` divided by the window's size.

    Args:
        window_shape, strides, padding: as in ``SumPool``.
        normalize_edges: with "SAME" padding, divide by the number of pixels inside the
            image instead.
    """

    normalize_edges: bool = False


@dataclass(frozen=True)
class GlobalSumPool(Layer):
    """The sum over all pixels: K' = sum_{p, p'} K[p, p'], and Theta' alike. Removes the
    spatial axes."""


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean over all pixels: K' = mean_{p, p'} K[p, p'], and Theta' alike. Removes
    the spatial axes."""
