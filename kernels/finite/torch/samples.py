"""Find the axis along which every recorded tensor holds the samples.

Modules move the batch axis about (attention works on ``[T, N, C]`` and ``[T N, C]``),
and sizes may coincide. So the function is run on two and on three samples: the axis
that grows is the batch axis, and the derivatives of one sample's outputs tell how a
merged axis is laid out, and whether samples interact.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .recorder import Recorder, Use, record
from .views import replace_tensors, tensors


@dataclass(frozen=True)
class Place:
    """Where samples lie: axis ``axis`` has size ``outer * n * inner``, in order."""

    axis: int
    outer: int = 1
    inner: int = 1


class SamplesInteract(ValueError):
    """The outputs for a sample depend on the other samples."""


INTERACT = (
    "samples interact (batch normalisation in training mode?) or the function is "
    "random (dropout in training mode?): {what}. Call .eval() first, or set "
    "vmap_axes=None for the kernel of the whole batch"
)


def split(t: Tensor, place: Place, lead: int = 0) -> Tensor:
    """Move samples to axis ``lead``; axis ``lead + place.axis`` keeps the rest.

    Args:
        lead: number of axes before those that ``place`` counts.
    """
    axis = lead + place.axis
    shape = list(t.shape)
    n = shape[axis] // (place.outer * place.inner)
    t = t.reshape(*shape[:axis], place.outer, n, place.inner, *shape[axis + 1 :])
    t = t.movedim(axis + 1, lead)
    kept = [*shape[:axis], place.outer * place.inner, *shape[axis + 1 :]]
    return t.reshape(*kept[:lead], n, *kept[lead:])


def locate(
    fn: Any, params: dict[str, Tensor], x: Any, in_axis: int, out_axis: int, k: int
) -> tuple[list[Place | None], Recorder]:
    """The place of the samples in the output of every use; None if it has none.

    Raises:
        SamplesInteract: outputs or derivatives mix samples.
    """
    runs = []
    for count in (2, 3):
        some = take(x, in_axis, range(count))
        recorder, out, _ = record(fn, params, some)
        runs.append((recorder, tensors(out)[k]))
    (few, out2), (more, out3) = runs
    _check_outputs(out2, out3, out_axis)
    if len(few.uses) != len(more.uses):
        return [None] * len(more.uses), more
    grads = [_gradients(out3, more.uses, out_axis, sample) for sample in (0, 1)]
    places = [
        _place(u.output.shape, v.output.shape, [g[i] for g in grads])
        for i, (u, v) in enumerate(zip(few.uses, more.uses, strict=True))
    ]
    return places, more


def take(x: Any, axis: int, samples: Any) -> Any:
    """Some samples of every tensor, counted round if there are too few."""

    def pick(t: Tensor) -> Tensor:
        index = [i % t.shape[axis] for i in samples]
        return t.index_select(axis, torch.tensor(index, device=t.device))

    return replace_tensors(x, pick)


def _check_outputs(out2: Tensor, out3: Tensor, axis: int) -> None:
    for out, count in ((out2, 2), (out3, 3)):
        if not -out.ndim <= axis < out.ndim or out.shape[axis] != count:
            raise ValueError(
                f"the function returns shape {tuple(out.shape)} for {count} samples, "
                f"expected {count} entries along axis {axis}, the batch axis; set "
                "vmap_axes=(axis of x, axis of f(x)), or None where samples interact"
            )
    a, b = out2.detach(), out3.detach().narrow(axis, 0, 2)
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, torch.zeros_like(a), (a - b).abs()).max()
    size = torch.nan_to_num(b).abs().max()
    # Rounding differs between batch sizes; interaction changes leading digits.
    if not gap <= 3 * torch.finfo(a.dtype).eps ** 0.5 * size:
        raise SamplesInteract(
            INTERACT.format(what=f"outputs differ by {float(gap):.1e} between batches")
        )


def _gradients(
    out: Tensor, uses: list[Use], axis: int, sample: int
) -> list[Tensor | None]:
    """Where the outputs of one sample depend on each use."""
    if not uses or not out.requires_grad:
        return [None] * len(uses)
    weights = torch.zeros_like(out)
    # Irregular weights: derivatives must not cancel.
    noise = torch.linspace(1.0, 2.0, weights.narrow(axis, 0, 1).numel())
    one = weights.narrow(axis, sample, 1)
    one.copy_(noise.to(out).reshape(one.shape))
    outputs = [use.output for use in uses]
    grads = torch.autograd.grad(
        out, outputs, weights, retain_graph=True, allow_unused=True
    )
    return [None if g is None else g != 0 for g in grads]


def _place(
    two: torch.Size, three: torch.Size, found: list[Tensor | None]
) -> Place | None:
    if len(two) != len(three):
        return None
    axes = [a for a, (s, t) in enumerate(zip(two, three, strict=True)) if s != t]
    if len(axes) != 1:
        return None
    axis = axes[0]
    size = three[axis]
    if size % 3 or two[axis] * 3 != size * 2:
        return None
    length = size // 3
    for inner in (d for d in range(length, 0, -1) if length % d == 0):
        place = Place(axis, length // inner, inner)
        if all(_only(g, place, sample) for sample, g in enumerate(found)):
            return place
    raise SamplesInteract(
        INTERACT.format(what="derivatives of one sample's outputs reach other samples")
    )


def _only(nonzero: Tensor | None, place: Place, sample: int) -> bool:
    """Whether nothing outside a sample is marked."""
    if nonzero is None:
        return True
    others = split(nonzero, place).clone()
    others[sample] = False
    return not bool(others.any())
