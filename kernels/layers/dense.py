"""Layers with one weight per input and output unit."""

from dataclasses import dataclass
from typing import Any

from .base import Layer, one_of, scale, width

PARAMETERIZATIONS = ("ntk", "standard")


@dataclass(frozen=True)
class Dense(Layer):
    r"""y = W_std / sqrt(n_in) x W + b_std b with W, b ~ N(0, 1): a fully connected
    layer, or a 1 x 1 convolution.

    .. math::
        K' = W_{std}^2 K + b_{std}^2, \qquad
        \Theta' = K' + W_{std}^2 \Theta \quad (\text{'ntk'}).

    With ``parameterization="standard"`` the weights are N(0, W_std^2 / n_in) themselves
    and Theta' = n_in K + W_std^2 Theta + 1, the 1 only where there is a bias.

    Args:
        out_dim: number of output units.
        W_std: standard deviation of the weights.
        b_std: standard deviation of the biases; None for no bias.
        parameterization: "ntk" or "standard".
    """

    out_dim: int
    W_std: Any = 1.0
    b_std: Any = None
    parameterization: str = "ntk"

    def __post_init__(self) -> None:
        width("Dense", "out_dim", self.out_dim)
        scale("Dense", "W_std", self.W_std)
        scale("Dense", "b_std", self.b_std)
        object.__setattr__(
            self,
            "parameterization",
            one_of(
                "Dense", "parameterization", self.parameterization, PARAMETERIZATIONS
            ),
        )
