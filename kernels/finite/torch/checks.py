"""What is refused before any work starts, and how to get out of it."""

from typing import Any

import torch
from torch import Tensor, nn

from .samples import INTERACT, SamplesInteract
from .views import tensors


def check_inputs(x1: Any, x2: Any, axis: int | None) -> None:
    """x1 and x2 must be the same nests of tensors, but for the batch axis."""
    one = tensors(x1)
    if not one:
        raise TypeError(f"x1 is a {type(x1).__name__}, expected a tensor, or several")
    if x2 is None:
        return
    two = tensors(x2)
    if len(one) != len(two):
        raise ValueError(f"x2 holds {len(two)} tensors, expected {len(one)} as x1")
    for a, b in zip(one, two, strict=True):
        if a.dtype != b.dtype or a.device != b.device:
            raise TypeError(
                f"x2 is {b.dtype} on {b.device}, expected {a.dtype} on {a.device} as "
                "x1; convert one of them, nothing is converted silently"
            )
        if axis is None:
            continue
        shapes = [[s for i, s in enumerate(t.shape) if i != axis] for t in (a, b)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"x2 has samples of shape {tuple(shapes[1])}, expected "
                f"{tuple(shapes[0])} as x1"
            )


def check_module(f: Any) -> None:
    """Refuse modules that mix or drop samples at random."""
    if not isinstance(f, nn.Module):
        return
    for name, module in f.named_modules():
        batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if batch_norm and (module.training or module.running_mean is None):
            kind = type(module).__name__
            what = f"{name or 'it'} is a {kind} that uses batch statistics"
            raise SamplesInteract(INTERACT.format(what=what))
        drops = isinstance(module, nn.modules.dropout._DropoutNd)
        if drops and module.training and module.p > 0:
            what = f"{name or 'it'} is a {type(module).__name__} in training mode"
            raise SamplesInteract(INTERACT.format(what=what))


def check_output(t: Tensor) -> Tensor:
    """The shape of an output (on the device "meta"), if it can be differentiated."""
    if not t.is_floating_point():
        raise TypeError(
            f"f returns a {t.dtype} output, expected real floating point, which can be "
            "differentiated; return logits instead of classes, or the real and "
            "imaginary parts side by side"
        )
    return torch.empty_like(t, device="meta")
