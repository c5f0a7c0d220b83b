"""Cotangents of kernels pulled back by torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Tensor = torch.Tensor


def tensor(x: np.ndarray) -> Tensor:
    """The array as a tensor on the CPU."""
    # Torch has no arrays that may not be written to, and warns of them.
    return torch.from_numpy(x if x.flags.writeable else x.copy())


def pull_back(kernel: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The vector-Jacobian product of ``kernel(x1, x2, name)``; see ``pull_back_of``.

    Arrays of NumPy become tensors on the CPU.
    """

    def run(x1: Any, x2: Any | None, bar: np.ndarray) -> tuple[Any, Any]:
        given = [x for x in (x1, x2) if x is not None]
        xs = [tensor(x) if isinstance(x, np.ndarray) else x for x in given]
        xs = [x.detach().clone().requires_grad_() for x in xs]
        k = kernel(*(*xs, None)[:2], name)
        if not k.requires_grad:
            raise TypeError(
                f"kernel: {type(kernel).__name__} records no gradients in its inputs "
                "in torch, expected a kernel that can be differentiated in them; "
                "write the function of an EmpiricalKernel in JAX"
            )
        found = torch.autograd.grad(k, xs, torch.as_tensor(bar).to(k))
        return (*(g.cpu().numpy() for g in found), None)[:2]

    return run
