"""Vectors of outputs, between NumPy and torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .function import Function


def vectors(
    f: Any, params: Any, x: Any
) -> tuple[tuple[int, ...], Callable[..., Any], Callable[..., np.ndarray]]:
    """The shape of f(params, x), and conversions from and to NumPy's float64."""
    function = Function(f, params, None)
    with torch.no_grad():
        out = function(function.params, x)
    if not isinstance(out, torch.Tensor):
        raise TypeError(
            "f returns a nest, expected one tensor; choose one output of it"
        )
    return (
        tuple(out.shape),
        lambda v: torch.as_tensor(v).to(out),
        lambda v: v.detach().cpu().double().numpy(),
    )
