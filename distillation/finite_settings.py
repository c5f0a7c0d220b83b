"""The settings with which finite networks are trained."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Training:
    r"""Gradient descent on the mean square error of centred labels.

    .. math:: \frac{1}{2n} \sum_i \| f(x_i) - y_i \|^2 + \frac{\beta}{2} \|\theta\|^2,

    with momentum, and a learning rate that falls to 0 along a cosine. It starts at
    ``fraction`` of the largest stable one, :math:`2 (1 + \mu) n / \lambda_1`, where
    :math:`\lambda_1` is the largest eigenvalue of the network's NTK at its initial
    weights, found by Lanczos iterations.

    Args:
        steps: of the optimiser.
        batch: images of a step, drawn anew; all of them where there are no more.
        fraction: of the largest stable learning rate; small batches need less.
        learning_rate: takes the place of ``fraction`` if given.
        momentum: mu, in [0, 1).
        l2: beta.
        centred: subtract what the network computes before training, so that it starts
            from zero, as kernel regression does. Few images leave that random function
            as it is elsewhere, and its size spoils predictions.
        parameterization: "standard", as networks are trained in practice, or "ntk" to
            leave the network as it is.

    Reference: Nguyen et al. 2021 (2107.13034), appendix A.2: standard parameterisation,
    batch 100, 5000 steps, momentum 0.9, L2 of 1e-3 at width 1024.
    """

    steps: int = 1000
    batch: int = 100
    fraction: float = 0.5
    learning_rate: float | None = None
    momentum: float = 0.9
    l2: float = 1e-3
    centred: bool = True
    parameterization: str = "standard"

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"Training: {name} is {value!r}, expected an integer >= 1"
                )
        bounds = {
            "fraction": (lambda v: v > 0, "> 0"),
            "learning_rate": (lambda v: v is None or v > 0, "> 0, or None"),
            "momentum": (lambda v: 0 <= v < 1, "from 0 to below 1"),
            "l2": (lambda v: v >= 0, ">= 0"),
        }
        for name, (fits, what) in bounds.items():
            value = getattr(self, name)
            if not (value is None or np.isfinite(value)) or not fits(value):
                raise ValueError(
                    f"Training: {name} is {value!r}, expected a number {what}"
                )
        if self.parameterization not in ("standard", "ntk"):
            raise ValueError(
                f"Training: parameterization is {self.parameterization!r}, expected "
                "'standard' or 'ntk'"
            )
