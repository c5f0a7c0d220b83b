"""Convolutions over any number of spatial axes (NHWC and its relatives)."""

from dataclasses import dataclass
from typing import Any

from .base import Layer, one_of, positive_ints, scale, width
from .dense import PARAMETERIZATIONS

PADDINGS = ("VALID", "SAME", "CIRCULAR")


@dataclass(frozen=True)
class Conv(Layer):
    r"""y[p] = W_std / sqrt(n_in F) sum_o x[s p + o] W[o] + b_std b over a filter of F
    taps.

    .. math::
        K'[p, p'] = W_{std}^2 \frac1F \sum_o K[sp + o, sp' + o] + b_{std}^2, \qquad
        \Theta' = K' + W_{std}^2 \frac1F \sum_o \Theta[sp + o, sp' + o].

    Reference: Arora et al. 2019 (1904.11955), section 4; Novak et al. 2019
    (1810.05148), eq. 6.

    Args:
        out_chan: number of output channels.
        filter_shape: taps per spatial axis, e.g. (3, 3); its length is the number of
            spatial axes.
        strides: step per spatial axis; None for 1.
        padding: "VALID", "SAME" (zeros) or "CIRCULAR".
        W_std, b_std, parameterization: as in ``Dense``; n_in counts channels times
            taps.
    """

    out_chan: int
    filter_shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    padding: str = "VALID"
    W_std: Any = 1.0
    b_std: Any = None
    parameterization: str = "ntk"

    def __post_init__(self) -> None:
        name = type(self).__name__
        width(name, "out_chan", self.out_chan)
        set_window(self, name, "filter_shape", PADDINGS)
        scale(name, "W_std", self.W_std)
        scale(name, "b_std", self.b_std)
        object.__setattr__(
            self,
            "parameterization",
            one_of(name, "parameterization", self.parameterization, PARAMETERIZATIONS),
        )


def set_window(layer: Any, name: str, field: str, paddings: tuple[str, ...]) -> None:
    """Check and normalise the window, the strides (default 1) and the padding of a
    frozen layer, in place."""
    window = positive_ints(name, field, getattr(layer, field))
    strides = (
        (1,) * len(window)
        if layer.strides is None
        else positive_ints(name, "strides", layer.strides)
    )
    if len(strides) != len(window):
        raise ValueError(
            f"{name}: strides has {len(strides)} entries, expected {len(window)} as in "
            f"{field} {window}"
        )
    object.__setattr__(layer, field, window)
    object.__setattr__(layer, "strides", strides)
    object.__setattr__(
        layer, "padding", one_of(name, "padding", layer.padding, paddings)
    )
