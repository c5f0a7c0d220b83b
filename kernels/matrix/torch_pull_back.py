"""Cotangents of kernels pulled back by torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..finite.kernel import EmpiricalKernel
from ..finite.torch.input_gradients import InputGradients

Tensor = torch.Tensor


def tensor(x: np.ndarray) -> Tensor:
    """The array as a tensor on the CPU."""
    # Torch has no arrays that may not be written to, and warns of them.
    return torch.from_numpy(x if x.flags.writeable else x.copy())


def pull_back(
    kernel: Callable[..., Any], name: str, second: bool
) -> Callable[..., Any]:
    """The vector-Jacobian product of ``kernel(x1, x2, name)``; see ``pull_back_of``.

    Arrays of NumPy become tensors on the CPU.
    """
    if isinstance(kernel, EmpiricalKernel):
        return _empirical(kernel, name, second)

    def run(x1: Any, x2: Any | None, bar: np.ndarray) -> tuple[Any, Any]:
        given = [x for x in (x1, x2) if x is not None]
        xs = [tensor(x) if isinstance(x, np.ndarray) else x for x in given]
        xs = [x.detach().clone().requires_grad_() for x in xs]
        k = kernel(*(*xs, None)[:2], name)
        if not k.requires_grad:
            raise TypeError(
                f"kernel: {type(kernel).__name__} records no gradients in its inputs "
                "in torch, expected a kernel that can be differentiated in them, or "
                "an EmpiricalKernel itself and no function that calls it"
            )
        found = torch.autograd.grad(k, xs, torch.as_tensor(bar).to(k))
        return (*(g.cpu().numpy() for g in found), None)[:2]

    return run


def _empirical(kernel: EmpiricalKernel, name: str, second: bool) -> Callable[..., Any]:
    gradients = InputGradients(kernel, name)

    def run(x1: Any, x2: Any | None, bar: np.ndarray) -> tuple[Any, Any]:
        a, b = (tensor(x) if isinstance(x, np.ndarray) else x for x in (x1, x2))
        c = torch.as_tensor(bar).to(a)
        if b is None:
            # K(x, x) depends on x from both sides.
            return gradients(a, a, c + c.T).cpu().numpy(), None
        left = gradients(a, b, c).cpu().numpy()
        return left, gradients(b, a, c.T).cpu().numpy() if second else None

    return run
