"""The torch calls that are understood, and what they do to their weights.

A rule maps a call to ``(kind, (weight, bias), operand, info)``, or None if this call is
not one of the forms it knows.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .views import is_data, view_of

Call = tuple[str, tuple[Any, Any], Tensor | None, dict[str, Any]]

PROPERTIES = {
    getattr(torch.Tensor, name).__get__ for name in ("T", "mT", "H", "mH", "data")
}
MOVES = {
    "t",
    "transpose",
    "swapaxes",
    "swapdims",
    "permute",
    "movedim",
    "moveaxis",
    "view",
    "view_as",
    "reshape",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "contiguous",
    "clone",
    "detach",
    "chunk",
    "split",
    "unbind",
    "select",
    "narrow",
    "flip",
    "__getitem__",
    "__iter__",
}


CASTS = {"to", "type", "type_as", "float", "double", "half", "bfloat16"}


def scaling(name: str, args: Any, kwargs: Any) -> Any:
    """The number that a call multiplies a view with; None if it does something else."""
    if kwargs or not args:
        return None
    if name in ("neg", "__neg__"):
        return -1.0
    if len(args) != 2:
        return None
    first = view_of(args[0]) is not None
    other = args[1] if first else args[0]
    number = isinstance(other, (int, float)) or (
        isinstance(other, Tensor) and other.ndim == 0 and view_of(other) is None
    )
    if not number or (args[0] if first else args[1]).ndim == 0:
        return None
    if name in ("mul", "multiply", "__mul__", "__rmul__"):
        return other
    if name in ("div", "divide", "true_divide", "__truediv__") and first:
        return 1 / other
    return None


def _arguments(
    names: str, args: Any, kwargs: Any, **defaults: Any
) -> dict[str, Any] | None:
    """The arguments of a call by name; None if it is not called like this."""
    order = names.split()
    if len(args) > len(order) or not set(kwargs) <= set(order):
        return None
    found = {**defaults, **dict(zip(order, args, strict=False)), **kwargs}
    return found if set(found) == set(order) else None


def _linear(func: Any, args: Any, kwargs: Any) -> Call | None:
    a = _arguments("input weight bias", args, kwargs, bias=None)
    if a is None or not is_data(a["input"]):
        return None
    weight, bias = a["weight"], a["bias"]
    if is_data(weight) or is_data(bias) or weight.ndim != 2:
        return None
    if view_of(weight) is None and view_of(bias) is None:
        return None
    return "dot", (weight, bias), a["input"], {"weight": "ji"}


def _matmul(func: Any, args: Any, kwargs: Any) -> Call | None:
    if kwargs or len(args) != 2:
        return None
    x, w = args if func.__name__ != "__rmatmul__" else args[::-1]
    if view_of(w) is None or w.ndim != 2 or x.ndim < 2 or not is_data(x):
        return None
    return "dot", (w, None), x, {"weight": "ij"}


def _addmm(func: Any, args: Any, kwargs: Any) -> Call | None:
    if kwargs or len(args) != 3:
        return None
    bias, x, w = args
    if not is_data(x) or is_data(bias) or view_of(w) is None or bias.ndim != 1:
        return None
    return "dot", (w, bias), x, {"weight": "ij"}


def _conv(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input weight bias stride padding dilation groups"
    usual = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    a = _arguments(names, args, kwargs, **usual)
    if a is None or not is_data(a["input"]):
        return None
    x, weight, bias = a["input"], a["weight"], a["bias"]
    if is_data(weight) or is_data(bias) or x.ndim != weight.ndim:
        return None
    dims = weight.ndim - 2

    def every(v: Any) -> tuple[int, ...]:
        v = tuple(v) if isinstance(v, (tuple, list)) else (v,)
        return v * (dims // len(v))

    taps, dilation = tuple(weight.shape[2:]), every(a["dilation"])
    pads = [(0, 0)] * dims
    if a["padding"] == "same":
        total = [d * (k - 1) for d, k in zip(dilation, taps, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    elif not isinstance(a["padding"], str):
        pads = [(p, p) for p in every(a["padding"])]
    info = {
        "taps": taps,
        "strides": every(a["stride"]),
        "dilations": dilation,
        "pads": pads,
        "groups": a["groups"],
    }
    return "conv", (weight, bias), x, info


def _embedding(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse"
    usual = dict.fromkeys(names.split()[2:])
    a = _arguments(names, args, kwargs, **usual)
    if a is None or a["max_norm"] is not None or view_of(a["weight"]) is None:
        return None
    skip = a["padding_idx"]
    if skip is not None and skip < 0:
        skip += a["weight"].shape[0]
    return "lookup", (a["weight"], None), a["input"], {"skip": skip}


def _gather_rows(func: Any, args: Any, kwargs: Any) -> Call | None:
    """``table[ids]``."""
    if len(args) != 2 or view_of(args[0]) is None:
        return None
    ids = args[1][0] if isinstance(args[1], tuple) and len(args[1]) == 1 else args[1]
    if not isinstance(ids, Tensor) or ids.dtype not in (torch.int32, torch.int64):
        return None
    ids = torch.where(ids < 0, ids + args[0].shape[0], ids)
    return "lookup", (args[0], None), ids, {"skip": None}


def _layer_norm(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input normalized_shape weight bias eps"
    a = _arguments(names, args, kwargs, weight=None, bias=None, eps=1e-5)
    if a is None:
        return None
    x = F.layer_norm(a["input"], a["normalized_shape"], eps=a["eps"])
    return _affine(a, x, len(a["normalized_shape"]))


def _rms_norm(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input normalized_shape weight eps"
    a = _arguments(names, args, kwargs, weight=None, eps=None)
    if a is None:
        return None
    x = F.rms_norm(a["input"], a["normalized_shape"], eps=a["eps"])
    return _affine(a, x, len(a["normalized_shape"]))


def _group_norm(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input num_groups weight bias eps"
    a = _arguments(names, args, kwargs, weight=None, bias=None, eps=1e-5)
    if a is None:
        return None
    return _affine(a, F.group_norm(a["input"], a["num_groups"], eps=a["eps"]), None)


def _batch_norm(func: Any, args: Any, kwargs: Any) -> Call | None:
    names = "input running_mean running_var weight bias training momentum eps"
    usual = {"weight": None, "bias": None, "training": False, "momentum": 0.1}
    a = _arguments(names, args, kwargs, **usual, eps=1e-5)
    if a is None or a["training"]:
        return None
    x = F.batch_norm(a["input"], a["running_mean"], a["running_var"], eps=a["eps"])
    return _affine(a, x, None)


def _affine(a: dict[str, Any], x: Tensor, trailing: int | None) -> Call | None:
    """weight * x + bias over the trailing axes, or over axis 1 if None."""
    weight, bias = a.get("weight"), a.get("bias")
    if is_data(weight) or is_data(bias):
        return None
    return "scale", (weight, bias), x, {"trailing": trailing}


def _product(func: Any, args: Any, kwargs: Any) -> Call | None:
    if kwargs or len(args) != 2:
        return None
    w, x = args if view_of(args[0]) is not None else args[::-1]
    if view_of(w) is None or view_of(x) is not None:
        return None
    return "scale", (w, None), x, {"broadcast": True}


def _sum(func: Any, args: Any, kwargs: Any) -> Call | None:
    if kwargs or len(args) != 2:
        return None
    w, x = args if view_of(args[0]) is not None else args[::-1]
    if view_of(w) is None or view_of(x) is not None:
        return None
    sign = 1.0
    name = func.__name__
    if name in ("sub", "subtract", "__sub__"):
        sign = -1.0 if w is args[1] else 1.0
    elif name in ("rsub", "__rsub__"):
        sign = -1.0 if w is args[0] else 1.0
    return "shift", (w, None), None, {"sign": sign}


RULES: dict[str, Callable[..., Call | None]] = {
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "__matmul__": _matmul,
    "__rmatmul__": _matmul,
    "addmm": _addmm,
    "conv1d": _conv,
    "conv2d": _conv,
    "conv3d": _conv,
    "embedding": _embedding,
    "__getitem__": _gather_rows,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__"), _product),
    **dict.fromkeys(("add", "__add__", "__radd__"), _sum),
    **dict.fromkeys(("sub", "subtract", "__sub__", "rsub", "__rsub__"), _sum),
}
