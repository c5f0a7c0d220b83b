"""The variances of the images, which planes are run with, and their gradient."""

from dataclasses import replace

import torch

from ..program import Activate, Add, Affine, Box, Normalize, Push, Stage, Swap
from .stage_source import StageKernel, map_pixels, regions
from .torch_gradient import Bars, pull_back
from .torch_planes import Planes, Side, launch, run

Tensor = torch.Tensor


def with_variances(planes: Planes, images: Tensor) -> Side:
    """Images ``[n, channels, H, W]`` and their variances ``[n, numbers]``."""
    size = sum(map_pixels(stage) for stage in planes.program.stages)
    maps = images.new_empty((len(images), size))
    for s, spec in enumerate(planes.specs):
        if map_pixels(spec.stage):
            _record(spec, _entry(planes, s, (images, maps)), maps)
    return images, maps


def _diagonal(images: Tensor) -> tuple[Tensor, Tensor]:
    own = torch.arange(len(images), dtype=torch.int32, device=images.device)
    return own, own


def _entering(planes: Planes, s: int) -> Planes:
    return Planes(planes.program, False, planes.double, s)


def _entry(planes: Planes, s: int, side: Side) -> Tensor:
    """Images, or the variances at the entry of a later stage ``[n, values, H, W]``."""
    if s == 0:
        return side[0]
    return run(_entering(planes, s), side, side, *_diagonal(side[0]))


def _record(spec: StageKernel, entry: Tensor, maps: Tensor) -> None:
    """Write the variances of one stage."""
    alone = replace(spec, want_t=False, flags=(False,) * len(spec.flags))
    launch(alone, "record", len(entry), 1, maps, entry, maps, maps.shape[1], len(entry))


def pull_back_variances(planes: Planes, side: Side, bars: Bars) -> None:
    """Move the gradients of the variances in ``bars`` into its images."""
    for s in range(len(planes.specs) - 1, -1, -1):
        spec = planes.specs[s]
        size = map_pixels(spec.stage)
        if not size:
            continue
        with torch.enable_grad():
            entry = _entry(planes, s, side).double().requires_grad_()
            found = _variances(spec, entry)
        given = bars.maps[:, spec.maps : spec.maps + size]
        (seed,) = torch.autograd.grad(found, entry, given)
        if s == 0:
            bars.images.add_(seed)
            continue
        both = (bars, bars)
        seed = seed.flatten(1)
        pull_back(_entering(planes, s), side, side, *_diagonal(side[0]), seed, both)


def _variances(spec: StageKernel, entry: Tensor) -> Tensor:
    """What the kernel ``record`` writes, in operations that torch differentiates."""
    stage, stack = spec.stage, []
    if spec.before is None:
        value = (entry * entry).mean(1)
    else:
        *stack, value = (entry * _weights(spec, entry)).unbind(1)
    found = []
    for op, region in zip(stage.ops, regions(stage), strict=False):
        if isinstance(op, Push):
            stack.append(value)
        elif isinstance(op, Swap):
            stack[-1], value = value, stack[-1]
        elif isinstance(op, Add):
            value = value + stack.pop()
        elif isinstance(op, Activate):
            found.append(value)
            value = op.activation.variance(value)
        elif isinstance(op, Normalize):
            mean = _mean(op, value, region)
            found.append(mean)
            positive = mean + op.eps > 0
            value = torch.where(
                positive, value / torch.where(positive, mean + op.eps, 1), 0
            )
        elif isinstance(op, Affine):
            value = op.w * value + op.b
        else:
            value = _box(op, value, stage, region)
    return torch.stack(found, 1).flatten(1)


def _weights(spec: StageKernel, like: Tensor) -> Tensor:
    """The factors of pooled pixels."""
    pool, shape = spec.before, spec.stage.shape
    weights = like.new_full(shape, pool.scale**2)
    if pool.edges:
        for axis, (n, size) in enumerate(zip(shape, spec.before_exit, strict=True)):
            start = torch.arange(n, device=like.device) * pool.strides[axis]
            start = start - pool.before[axis]
            inside = (start + pool.window[axis]).clamp(max=size) - start.clamp(min=0)
            weights = weights / (inside.clamp(min=1) ** 2).view((-1, 1)[: 2 - axis])
    return weights


def _inside(value: Tensor, region: tuple) -> Tensor:
    """The image with pixels outside the region set to zero."""
    (top, bottom), (left, right) = region
    kept = torch.zeros_like(value)
    kept[..., top:bottom, left:right] = value[..., top:bottom, left:right]
    return kept


def _mean(op: Normalize, value: Tensor, region: tuple) -> Tensor:
    axes = [axis - 2 for axis in (0, 1) if op.spatial[axis]]
    if not axes:
        return value
    (top, bottom), (left, right) = region
    part = value[..., top:bottom, left:right]
    whole = part.mean(axes, keepdim=True)
    mean = torch.zeros_like(value)
    mean[..., top:bottom, left:right] = whole.expand(part.shape)
    return mean


def _box(op: Box, value: Tensor, stage: Stage, region: tuple) -> Tensor:
    if op.padding == "SAME":
        value = _inside(value, region)
    for axis in (-2, -1):
        size, before, after = stage.shape[axis], op.before[axis], op.after[axis]
        if op.padding == "CIRCULAR":
            value = sum(value.roll(-o, axis) for o in range(-before, after + 1))
            continue
        margins = (0, 0, before, after) if axis == -2 else (before, after)
        padded = torch.nn.functional.pad(value, margins)
        value = sum(padded.narrow(axis, o, size) for o in range(before + after + 1))
    return value
