"""Gradients from torch, for an optimiser that works on NumPy arrays."""

from collections.abc import Callable

import numpy as np
import torch


def value_and_gradient(
    objective: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The value of ``objective`` and its gradient, at points of the dtype and device of
    ``like``."""

    def both(point: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(point, dtype=like.dtype, device=like.device)
        x.requires_grad_()
        value = objective(x)
        (gradient,) = torch.autograd.grad(value, x)
        return float(value.detach()), gradient.cpu().numpy().astype(np.float64)

    return both
