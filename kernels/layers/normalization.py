"""Layers that normalise or drop."""

from dataclasses import dataclass
from numbers import Real

from .base import Layer, one_of


@dataclass(frozen=True)
class LayerNorm(Layer):
    r"""y = x / sqrt(mean x^2 + eps), which is layer normalisation for the zero-mean
    units of an infinitely wide layer.

    With v the variance of the units, averaged over the axes in ``axis``,

    .. math::
        K' = K / \sqrt{(v_1 + \epsilon)(v_2 + \epsilon)}, \qquad
        \Theta' = \Theta / \sqrt{(v_1 + \epsilon)(v_2 + \epsilon)}.

    Args:
        axis: the axes normalised over: -1 for channels, or a tuple with -1 and spatial
            axes (counted as in NHWC).
        eps: added to the variance.
    """

    axis: int | tuple[int, ...] = -1
    eps: float = 1e-12

    def __post_init__(self) -> None:
        axes = (
            tuple(self.axis) if isinstance(self.axis, (tuple, list)) else (self.axis,)
        )
        if not axes or not all(
            isinstance(a, int) and not isinstance(a, bool) for a in axes
        ):
            raise ValueError(
                f"LayerNorm: axis is {self.axis!r}, expected an integer or a tuple of "
                "integers such as -1 or (1, 2, -1)"
            )
        if not (isinstance(self.eps, Real) and self.eps >= 0):
            raise ValueError(f"LayerNorm: eps is {self.eps!r}, expected a number >= 0")
        object.__setattr__(self, "axis", axes)


@dataclass(frozen=True)
class Dropout(Layer):
    """Each unit is zeroed with probability ``rate`` and scaled by 1 / (1 - rate)
    otherwise.

    Only the covariance of a unit with itself changes: it is divided by 1 - rate. The
    old ``stax`` called the fraction *kept* ``rate``; here it is the fraction dropped,
    as in flax and torch.

    Args:
        rate: fraction dropped, in [0, 1).
        mode: "train" (drops) or "test" (does nothing).
    """

    rate: float
    mode: str = "train"

    def __post_init__(self) -> None:
        if not (isinstance(self.rate, Real) and 0 <= self.rate < 1):
            raise ValueError(
                f"Dropout: rate is {self.rate!r}, expected the fraction dropped, "
                "in [0, 1)"
            )
        object.__setattr__(
            self, "mode", one_of("Dropout", "mode", self.mode, ("train", "test"))
        )
