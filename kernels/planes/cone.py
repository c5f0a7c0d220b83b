"""The cone of need: which displacements every stage must compute, and what they cost.

Per axis, a readout needs some displacements, and a pool needs all that fall into its
pairs of windows. The displacements of a stage are the product of both axes.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from .program import Activate, Pool, Program, Stage

Groups = list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class Need:
    """Displacements that a stage computes, along the height and along the width."""

    rows: tuple[int, ...]
    cols: tuple[int, ...]


def cone(program: Program) -> tuple[Need, ...]:
    """The displacements of every stage, as the readout and the pools demand."""
    last = program.stages[-1]
    if program.readout == "flatten":
        needs = [Need((0,), (0,))]
    else:
        needs = [Need(*(_all(size, last.torus) for size in last.shapes[-1]))]
    for before, after in zip(
        program.stages[-2::-1], program.stages[:0:-1], strict=True
    ):
        axes = (needs[0].rows, needs[0].cols)
        needs.insert(0, Need(*(_sources(before, after, a, axes[a]) for a in (0, 1))))
    return tuple(needs)


def _all(size: int, torus: bool) -> tuple[int, ...]:
    return tuple(range(size) if torus else range(1 - size, size))


def first_pixel(displacement: int, torus: bool) -> int:
    """The smallest p of a plane, along one axis."""
    return 0 if torus else max(0, -displacement)


def extent(displacement: int, size: int, torus: bool) -> int:
    """Number of pixels p of a plane, along one axis of ``size`` pixels."""
    return size if torus else max(0, size - abs(displacement))


def _window(pool: Pool, axis: int, position: int, size: int) -> list[int]:
    """The input pixels under output pixel ``position``."""
    start = pool.strides[axis] * position - pool.before[axis]
    pixels = range(start, start + pool.window[axis])
    if pool.circular:
        return [p % size for p in pixels]
    return [p for p in pixels if 0 <= p < size]


def _contributions(before: Stage, after: Stage, axis: int):
    """All (d, D, P, p): the pair p, p + d adds to the pair P, P + D of the pool."""
    size, pooled = before.shapes[-1][axis], after.shape[axis]
    windows = [_window(before.pool, axis, position, size) for position in range(pooled)]
    for left, ps in enumerate(windows):
        for right, qs in enumerate(windows):
            moved = (right - left) % pooled if after.torus else right - left
            for p in ps:
                for q in qs:
                    yield (q - p) % size if before.torus else q - p, moved, left, p


def _sources(
    before: Stage, after: Stage, axis: int, wanted: tuple[int, ...]
) -> tuple[int, ...]:
    wanted_set = set(wanted)
    contributions = _contributions(before, after, axis)
    return tuple(sorted({d for d, moved, _, _ in contributions if moved in wanted_set}))


def pool_groups(
    before: Stage, after: Stage, axis: int, have: tuple[int, ...], want: tuple[int, ...]
) -> list[Groups]:
    """How each plane of ``have`` adds into the planes of ``want``, along one axis.

    Returns:
        One list per entry of ``have``, of groups (k, P, p, count): the pixels p, ...,
        p + count - 1 add to pixel P of plane ``want[k]``, counted inside the planes.
    """
    index = {d: k for k, d in enumerate(want)}
    pixels: dict[int, dict[tuple[int, int], Counter]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    for d, moved, position, p in _contributions(before, after, axis):
        if moved in index:
            inside = position - first_pixel(moved, after.torus)
            key = (index[moved], inside)
            pixels[d][key][p - first_pixel(d, before.torus)] += 1
    return [
        [(*key, *run) for key in sorted(pixels[d]) for run in _runs(pixels[d][key])]
        for d in have
    ]


def _runs(counts: Counter) -> list[tuple[int, int]]:
    """A multiset of integers as intervals (start, count)."""
    counts, runs = Counter(counts), []
    while counts:
        start = stop = min(counts)
        while counts[stop]:
            counts[stop] -= 1
            stop += 1
        runs.append((start, stop - start))
        counts = +counts
    return runs


def inside_counts(pool: Pool, axis: int, size: int) -> list[int]:
    """Number of pixels inside the image under every output pixel."""
    return [
        len(_window(pool, axis, position, size)) for position in range(pool.shape[axis])
    ]


def entries(need: Need, shape: tuple[int, int], torus: bool) -> int:
    """Number of pairs of pixels in the needed planes of an image of ``shape``."""
    total = 1
    for displacements, size in zip((need.rows, need.cols), shape, strict=True):
        total *= sum(extent(d, size, torus) for d in displacements)
    return total


def cost(program: Program) -> int:
    """Entry-layers of one pair of images: entries of the planes, times activations."""
    total = 0
    for stage, need in zip(program.stages, cone(program), strict=True):
        for op, shape in zip(stage.ops, stage.shapes[:-1], strict=True):
            if isinstance(op, Activate):
                total += entries(need, shape, stage.torus)
    return total
