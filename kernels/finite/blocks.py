"""Cut the work so that it fits a memory budget."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from array_api_compat import array_namespace

from .outputs import RowSplit

Array = Any


@dataclass(frozen=True)
class Blocks:
    """Largest pieces computed at once: samples of x1, of x2, traced and full rows."""

    n: int
    m: int
    u: int
    f: int
    e: int


def fit(
    whole: Blocks, memory: int, needed: Callable[[Blocks], int], paired: bool
) -> Blocks:
    """The largest blocks that need at most ``memory`` bytes.

    Samples are cut first, then rows: every cut of samples repeats backward sweeps for
    the other side, every cut of rows repeats forward passes.

    Raises:
        ValueError: not even one sample and one output fit.
    """
    blocks = whole
    while needed(blocks) > memory:
        if blocks.n > 1 or blocks.m > 1:
            n, m = _halve(blocks.n), _halve(blocks.m)
            if not paired and blocks.n > 2 * blocks.m:
                m = blocks.m
            elif not paired and blocks.m > 2 * blocks.n:
                n = blocks.n
            blocks = replace(blocks, n=n, m=m)
        elif blocks.u > 1:
            blocks = replace(blocks, u=_halve(blocks.u))
        elif blocks.f > 1 or blocks.e > 1:
            blocks = replace(blocks, f=_halve(blocks.f), e=_halve(blocks.e))
        else:
            raise ValueError(
                f"memory is {memory} bytes, but one sample and one output take about "
                f"{needed(blocks)}; raise memory, or select fewer parameters"
            )
    return blocks


def run(
    split: RowSplit,
    n: int,
    m: int,
    symmetric: bool,
    blocks: Blocks,
    compute: Callable[..., Array],
) -> Array:
    """The whole kernel ``[D, n, F, m, E]`` from its blocks.

    Args:
        compute: from slices of samples i and j (None: the same samples on both sides)
            and of rows u, f and e to one block, summed over the rows u.
    """
    traced, _, full, full2 = split.sizes
    if split.paired:
        parts = [
            _rows(split, blocks, traced, full, full2, compute, i, i)
            for i in _cuts(n, blocks.n)
        ]
        return _join(parts, 1)
    if not symmetric:
        return _join(
            [
                _join(
                    [
                        _rows(split, blocks, traced, full, full2, compute, i, j)
                        for j in _cuts(m, blocks.m)
                    ],
                    3,
                )
                for i in _cuts(n, blocks.n)
            ],
            1,
        )
    cuts = _cuts(n, min(blocks.n, blocks.m))
    table: dict[tuple[int, int], Array] = {}
    for a, i in enumerate(cuts):
        for b, j in enumerate(cuts[: a + 1]):
            other = None if a == b else j
            block = _rows(split, blocks, traced, full, full2, compute, i, other)
            table[a, b] = block
            if a != b:
                xp = array_namespace(block)
                table[b, a] = xp.permute_dims(block, (0, 3, 4, 1, 2))
    every = range(len(cuts))
    return _join([_join([table[a, b] for b in every], 3) for a in every], 1)


def _rows(
    split: RowSplit,
    blocks: Blocks,
    traced: int,
    full: int,
    full2: int,
    compute: Callable[..., Array],
    i: slice,
    j: slice | None,
) -> Array:
    """One block of samples, cut by rows."""
    last = 3 if split.paired else 4
    columns = []
    for f in _cuts(full, blocks.f):
        row = []
        for e in _cuts(full2, blocks.e):
            total = None
            for u in _cuts(traced, blocks.u):
                part = compute(i, j, u, f, e)
                total = part if total is None else total + part
            row.append(total)
        columns.append(_join(row, last))
    return _join(columns, 2)


def _cuts(total: int, size: int) -> list[slice]:
    """Slices of nearly equal length, at most ``size``."""
    count = -(-total // size)
    edges = [total * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _join(parts: list[Array], axis: int) -> Array:
    if len(parts) == 1:
        return parts[0]
    return array_namespace(parts[0]).concat(parts, axis=axis)


def _halve(size: int) -> int:
    return max(1, -(-size // 2)) if size > 1 else 1
