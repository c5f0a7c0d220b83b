"""The gradient of planes with respect to images and variances.

Planes are computed again, stage by stage; only those at the entry of the stages are
kept, for a part of the pairs at a time. No sum depends on the order in which programs
of the GPU finish: each has its own place, and the places of an image are added up by a
product with a matrix of zeros and ones.
"""

from dataclasses import dataclass

import torch

from .stage_source import map_pixels
from .torch_planes import (
    Planes,
    Side,
    block_count,
    chunks,
    launch,
    states,
    table_arguments,
    tables,
)

Tensor = torch.Tensor
# Pairs that are pulled back at a time, for the size of the matrix of zeros and ones.
MOST_PAIRS = 2048


@dataclass(frozen=True)
class Bars:
    """Gradients of images and of their variances, float64, added up in place."""

    images: Tensor
    maps: Tensor

    @classmethod
    def like(cls, side: Side) -> "Bars":
        return cls(*(torch.zeros_like(part, dtype=torch.float64) for part in side))


def pull_back(
    planes: Planes,
    one: Side,
    two: Side,
    first: Tensor,
    second: Tensor,
    seed: Tensor,
    bars: tuple[Bars, Bars],
) -> None:
    """Add the gradients of sum(seed * run(planes, one, two, ...)) to ``bars``.

    Where a derivative is infinite, at equal images, it counts as 0.
    """
    pixels = one[0][0].numel()
    widest = max([map_pixels(spec.stage) for spec in planes.running] or [0])
    state = sum(planes.state_numbers(s) for s in range(len(planes.axes)))
    blocks = max(
        block_count(len(first), spec.lanes.pairs, first.device)
        for spec in planes.running
    )
    # Planes, their gradients, what programs add up, and that in float64.
    numbers = 2 * state + 6 * max(blocks, 1) * (pixels + widest)
    kept = (spec.kept // spec.lanes.pairs for spec in planes.running)
    numbers += max(blocks, 1) * max(kept, default=0)
    parts = chunks(planes, first, second, numbers, MOST_PAIRS)
    seeds = seed.to(planes.dtype).split(len(parts[0][0]))
    for pairs, given in zip(parts, seeds, strict=True):
        _part(planes, one, two, pairs, given.contiguous(), bars)


def _part(
    planes: Planes,
    one: Side,
    two: Side,
    pairs: tuple[Tensor, Tensor],
    bar: Tensor,
    bars: tuple[Bars, Bars],
) -> None:
    entries = states(planes, one, two, *pairs, keep=True)[:-1]
    for s in range(len(planes.running) - 1, -1, -1):
        spec, n = planes.running[s], len(bar)
        count = block_count(n, spec.lanes.pairs, bar.device)
        found = tables(planes, s, count, True, bar.device)
        n_blocks = len(found[3])
        sources = (entries[s - 1],) * 2 if s else (one[0], two[0])
        given = (*sources, one[1], two[1], one[1].shape[1], *pairs, n)
        size = map_pixels(spec.stage)
        maps = [bar.new_zeros((n, n_blocks, max(size, 1))) for _ in range(2)]
        if s:
            entry = [torch.zeros_like(entries[s - 1])] * 2
        else:
            entry = [bar.new_zeros((n, n_blocks, one[0][0].numel())) for _ in range(2)]
        groups = -(-n // spec.lanes.pairs)
        scratch = bar.new_empty(max(groups * n_blocks * spec.kept, 1))
        given += (*table_arguments(planes, s, found), scratch, bar, *entry, *maps)
        launch(spec, "backward", n, n_blocks, bar, *given)
        for side, which in zip(bars, pairs, strict=True):
            own = maps.pop(0)
            if size:
                _add(side.maps[:, spec.maps : spec.maps + size], own, which)
            if s == 0:
                _add(side.images.flatten(1), entry.pop(0), which)
        bar = entry[0] if s else bar


def _add(target: Tensor, parts: Tensor, which: Tensor) -> None:
    """Add ``[pairs, blocks, numbers]`` to the rows ``which`` of ``[n, numbers]``."""
    rows, position = torch.unique(which, return_inverse=True)
    ones = (torch.arange(len(rows), device=which.device)[:, None] == position).double()
    target[rows.long()] += ones @ parts.sum(1, dtype=torch.float64)
