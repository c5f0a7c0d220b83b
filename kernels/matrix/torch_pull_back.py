"""Cotangents of kernels pulled back by torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Tensor = torch.Tensor


def pull_back(kernel: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The vector-Jacobian product of ``kernel(x1, x2, name)``; see ``pull_back_of``.

    Arrays of NumPy become tensors on the CPU.
    """

    def run(x1: Any, x2: Any | None, bar: np.ndarray) -> tuple[Any, Any]:
        xs = [torch.as_tensor(x).detach() for x in (x1, x2) if x is not None]
        xs = [x.clone().requires_grad_() for x in xs]
        k = kernel(*(*xs, None)[:2], name)
        found = torch.autograd.grad(k, xs, torch.as_tensor(bar).to(k))
        return (*(g.cpu().numpy() for g in found), None)[:2]

    return run
