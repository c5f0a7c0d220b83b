"""Layers that split a signal into branches and join branches again."""

from dataclasses import dataclass

from .base import Layer, width


@dataclass(frozen=True)
class FanOut(Layer):
    """The input, handed to each of ``num`` branches."""

    num: int

    def __post_init__(self) -> None:
        width("FanOut", "num", self.num)


@dataclass(frozen=True)
class FanInSum(Layer):
    """The sum of independent branches: K' = sum_i K_i, Theta' = sum_i Theta_i.

    Independence is checked: at most one branch may lack weights of its own, and at most
    one may have a non-zero mean (an activation last).
    """


@dataclass(frozen=True)
class FanInProd(Layer):
    """The elementwise product of independent branches: K' = prod_i K_i, Theta' = sum_i
    Theta_i prod_{j != i} K_j."""


@dataclass(frozen=True)
class FanInConcat(Layer):
    """Branches side by side along ``axis``: -1 for channels, 1, 2, ... for spatial axes
    (as in NHWC).

    Along channels, with c_i channels each, K' = sum_i c_i K_i / sum_i c_i and Theta'
    alike. Along a spatial axis the blocks between different branches are zero.
    """

    axis: int = -1
