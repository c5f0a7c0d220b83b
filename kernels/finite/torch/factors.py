"""Factors of the Jacobian for every use of a parameter, samples first."""

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..factors import Convolved, Direct, Factor, Lookup, Outer, append, jacobian
from ..windows import Window, patches
from .recorder import Use
from .samples import Place, split
from .views import times

Rows = tuple[int, int, int]


def weight_factor(
    use: Use, g: Tensor, place: Place, rows: Rows, bias: bool, scaled: bool = True
) -> Factor:
    """The factor of the weight of a use, its bias included if wanted.

    Args:
        g: cotangents of the output, ``[R, *output]``.
        rows: R as traced, diagonal and full rows.
        scaled: whether derivatives are by the parameter; else by its view.
    """
    weight = use.views[0]
    scale = weight.scale if scaled else 1.0
    one = use.views[1].scale if bias else None
    if use.kind == "dot":
        a, g = _in_dtype(use, *_lead(use.operand, g, place))
        n, t, _ = a.shape
        a = times(a, scale)[:, None]
        if bias:
            a = append(a, a.new_full((n,), 1.0) * one)
        return Outer(a, g.reshape(n, *rows, 1, t, -1))
    if use.kind == "lookup":
        ids, g = _lead(use.operand[..., None], g, place)
        (g,) = _in_dtype(use, g)
        ids = ids[..., 0].long()
        if use.info["skip"] is not None:
            ids = ids.masked_fill(ids == use.info["skip"], -1)
        table = weight.positions().shape[0]
        g = times(g, scale).reshape(g.shape[0], *rows, 1, ids.shape[1], -1)
        return Lookup(ids, g, table)
    if use.kind == "conv":
        return _convolution(use, g, place, rows, one, scale)
    raise NotImplementedError(use.kind)


def view_rows(use: Use, g: Tensor, place: Place, which: int) -> Tensor:
    """Jacobian rows of a view, ``[n, R, view]``, in the view's layout."""
    if which == 1 and use.kind in ("dot", "conv"):
        axis = -1 if use.kind == "dot" else 1
        return _summed(split(g, place, 1), axis if axis < 0 else axis + 2, 1)
    if use.kind in ("scale", "shift"):
        return _elementwise(use, g, place, which)
    r = g.shape[0]
    factor = weight_factor(use, g, place, (1, 1, r), bias=False, scaled=False)
    if use.kind == "lookup":
        return _scattered(factor)
    j = jacobian(factor)[:, 0, 0]
    if use.kind == "dot":
        j = j.reshape(*j.shape[:2], -1, use.operand.shape[-1])
        return (j if use.info["weight"] == "ji" else j.mT).flatten(2)
    # [n, R, b, j, taps, c] to the layout of torch, [b j, c, *taps].
    taps, groups = use.info["taps"], use.info["groups"]
    c = use.operand.shape[1] // groups
    j = j.reshape(*j.shape[:2], groups, -1, prod(taps), c)
    return j.transpose(4, 5).flatten(2)


def _scattered(factor: Lookup) -> Tensor:
    """Jacobian rows of a table, ``[n, R, table]``."""
    g = factor.g[:, 0, 0, :, 0]  # [n, R, t, j]
    # Positions that read nothing go to one more row.
    ids = torch.where(factor.ids < 0, factor.table, factor.ids)
    out = g.new_zeros(*g.shape[:2], factor.table + 1, g.shape[-1])
    for one, where, rows in zip(out, ids, g, strict=True):
        one.index_add_(1, where, rows)
    return out[:, :, :-1].flatten(2)


def direct(rows: Tensor, shape: Rows) -> Direct:
    """Rows ``[n, R, P]`` as a factor."""
    return Direct(rows.reshape(rows.shape[0], *shape, rows.shape[-1]))


def _in_dtype(use: Use, *parts: Tensor) -> tuple[Tensor, ...]:
    """In the dtype of the weight: bfloat16 compute, float32 kernel."""
    dtype = use.views[0].root.value.dtype
    return tuple(part.to(dtype) for part in parts)


def _lead(a: Tensor, g: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Operand ``[n, t, i]`` and cotangents ``[n, R, t, j]`` of a product."""
    a = split(a, place)
    g = split(g, place, 1).movedim(1, 0)
    n, i, r, j = a.shape[0], a.shape[-1], g.shape[1], g.shape[-1]
    return a.reshape(n, -1, i), g.reshape(n, r, -1, j)


def _convolution(
    use: Use, g: Tensor, place: Place, rows: Rows, one: Any, scale: Any
) -> Factor:
    info, groups = use.info, use.info["groups"]
    pads = [p for pair in reversed(info["pads"]) for p in pair]
    x = times(F.pad(use.operand, pads), scale)
    x, g = _in_dtype(use, split(x, place), split(g, place, 1))
    # Several images per sample are more positions.
    n, images, channels = x.shape[:3]
    r = g.shape[0]
    x = x.reshape(n, images, groups, channels // groups, *x.shape[3:])
    g = g.reshape(r, n, images, groups, g.shape[3] // groups, -1)
    g = g.permute(1, 0, 3, 2, 5, 4).reshape(n, *rows, groups, -1, g.shape[4])
    window = Window(info["taps"], info["strides"], info["dilations"])
    bias = None if one is None else x.new_full((n,), 1.0) * one
    if images == 1:
        return Convolved(x[:, 0], g, window, bias)
    a = patches(x.flatten(0, 1), window)
    a = a.reshape(n, images, *a.shape[1:]).transpose(1, 2).flatten(2, 3)
    return Outer(a if bias is None else append(a, bias), g)


def _elementwise(use: Use, g: Tensor, place: Place, which: int) -> Tensor:
    """weight * x + bias, broadcast: x g or g, summed over the axes broadcast over."""
    if which == 0 and use.kind == "scale":
        g = g * use.operand.expand(use.output.shape)
    elif use.kind == "shift":
        g = g * use.info["sign"]
    g = split(g, place, 1)  # [R, n, *output with the rest of the batch axis]
    if use.kind == "shift" or use.info.get("broadcast"):
        return _to_shape(g, use.views[which].positions().shape, place)
    trailing = use.info["trailing"]
    if trailing is None:
        return _summed(g, 3, 1)
    lead = g.ndim - trailing
    return g.sum(tuple(range(2, lead))).movedim(1, 0).flatten(2)


def _summed(g: Tensor, axis: int, samples: int) -> Tensor:
    """Sum over all axes but rows, samples and ``axis``: ``[n, R, size]``."""
    axis %= g.ndim
    others = tuple(a for a in range(g.ndim) if a not in (0, samples, axis))
    return (g.sum(others) if others else g).movedim(1, 0)


def _to_shape(g: Tensor, shape: torch.Size, place: Place) -> Tensor:
    """Undo broadcasting to ``shape``, per sample: ``[n, R, view]``."""
    g = g.movedim(1, 0)  # [n, R, *output]
    ndim = g.ndim - 2
    full = (1,) * (ndim - len(shape)) + tuple(shape)
    summed = tuple(a + 2 for a, s in enumerate(full) if s == 1 and g.shape[a + 2] != 1)
    g = g.sum(summed, keepdim=True) if summed else g
    if g.shape[2:] != torch.Size(full):
        raise ValueError("a parameter has one entry per sample")
    return g.flatten(2)
