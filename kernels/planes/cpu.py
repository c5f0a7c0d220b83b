"""Exact convolutional kernels on the CPU: blocks of images, tiles of pairs, threads."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..results import NAMES, wanted
from .cpu_lanes import LANES
from .cpu_near_pairs import nearly_parallel
from .cpu_sides import Side, Sides
from .cpu_tile import Forward, Recorder
from .cpu_workers import default_threads, share
from .head import Scalars, run_head
from .program import Activate, Normalize, Program

# Images and maps of a block of images, of either side.
BLOCK_BYTES = 6 << 20
Pairs = tuple[np.ndarray, np.ndarray]


def kernel(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray | None = None,
    get: str | tuple[str, ...] = NAMES,
    threads: int | None = None,
) -> Any:
    """NNGP and NTK of a plane program between all images of x1 and of x2.

    Beyond inputs and result, memory does not grow with the number of images. float32
    inputs are computed in float32 with sums over planes in float64.

    Args:
        program: made by ``lower``.
        x1: ``[n, *S, channels]``, float32 or float64.
        x2: ``[m, *S, channels]``; None for x1 itself, when half of the pairs are run.
        get: "nngp", "ntk" or a tuple of them.
        threads: number of threads; None for every core.

    Returns:
        ``[n, m]`` in the dtype of the inputs; a tuple of them if ``get`` is one.
    """
    names = wanted(get)
    matrix = Matrix(program, x1, x2, names, threads)
    n, m = len(x1), len(x1 if x2 is None else x2)
    out = matrix.tile(slice(0, n), slice(0, m))
    return out[0] if isinstance(get, str) else out


class Matrix:
    """The kernels between all images of x1 and of x2, of which any tile can be had.

    What depends on one image alone is computed once for all tiles in a row, and for all
    tiles if ``KEPT_BYTES`` can hold it. Threads may share it.

    Args:
        program, x1, x2, threads: see ``kernel``.
        names: "nngp", "ntk", in the order of the results.
    """

    def __init__(
        self,
        program: Program,
        x1: np.ndarray,
        x2: np.ndarray | None,
        names: tuple[str, ...] = NAMES,
        threads: int | None = None,
    ) -> None:
        check(program, x1, x2)
        self.names, self.dtype, self.symmetric = names, x1.dtype, x2 is None
        self.engine = engine_for(program, x1.dtype, "ntk" in names)
        self.threads = threads or default_threads()
        inputs = (x1,) if x2 is None else (x1, x2)
        self.sides = Sides(lambda x: self.engine.side(x, self.threads), inputs)

    def tile(self, rows: slice, columns: slice) -> tuple[np.ndarray, ...]:
        """The kernels of some rows and columns, in the order of ``names``."""
        same = self.symmetric and rows == columns
        shape = rows.stop - rows.start, columns.stop - columns.start
        out = {name: np.empty(shape, self.dtype) for name in self.names}
        for i, j in blocks(self.engine.block, *shape, same):
            own = same and i == j
            one = self.sides(0, shifted(i, rows.start))
            at = shifted(j, columns.start)
            two = one if own else self.sides(0 if self.symmetric else 1, at)
            block = self.engine.run(one, two, own, self.threads)
            for name, part in (("nngp", block.k), ("ntk", block.t)):
                if name in out:
                    out[name][i, j] = part
                    if same and not own:
                        out[name][j, i] = part.T
        return tuple(out[name] for name in self.names)


def check(program: Program, x1: np.ndarray, x2: np.ndarray | None) -> None:
    """Refuse what cannot be computed, before any work starts."""
    high, wide = program.shape
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None:
            continue
        if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
            kind = getattr(x, "dtype", type(x).__name__)
            raise TypeError(
                f"{name} is {kind}, expected a NumPy array of float32 or float64"
            )
        if x.dtype != x1.dtype:
            raise TypeError(f"x2 is {x.dtype}, x1 is {x1.dtype}; convert one of them")
        shape = tuple(x.shape[1:])
        images = {(high, wide, program.channels)}
        if high == 1:
            images.add((wide, program.channels))
        if (high, wide) == (1, 1):
            images.add((program.channels,))
        if shape not in images:
            expected = " or ".join(map(str, sorted(images, key=len)))
            raise ValueError(
                f"{name} has shape {x.shape}; the program was made for inputs of shape "
                f"[n, ...] with ... = {expected}"
            )
        if not all(np.isfinite(x[i : i + 64]).all() for i in range(0, len(x), 64)):
            raise ValueError(f"{name} has infinite or NaN entries; remove these images")


def check_cotangents(
    shape: tuple[int, int], nngp: np.ndarray | None, ntk: np.ndarray | None
) -> None:
    """Refuse cotangents that are not those of kernels of ``shape``."""
    if nngp is None and ntk is None:
        raise ValueError(
            "nngp and ntk are both None, expected the cotangent of one kernel at least"
        )
    for name, cotangent in (("nngp", nngp), ("ntk", ntk)):
        if cotangent is not None and np.shape(cotangent) != shape:
            raise ValueError(
                f"{name} has shape {np.shape(cotangent)}, expected that of the kernel, "
                f"{shape}"
            )


def blocks(size: int, n: int, m: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    for i in range(0, n, size):
        for j in range(i if symmetric else 0, m, size):
            yield slice(i, min(i + size, n)), slice(j, min(j + size, m))


def shifted(block: slice, by: int) -> slice:
    return slice(block.start + by, block.stop + by)


class Engine:
    """A program compiled for one dtype, with or without the NTK."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.program, self.dtype, self.want_t = program, dtype, want_t
        self.forward = Forward(program, dtype, want_t)
        self.recorder = Recorder(program, dtype)
        self.head_variance = any(
            isinstance(op, Activate | Normalize) for op in program.head
        )
        self.own = Forward(program, dtype, False) if self.head_variance else None
        high, wide = program.shape
        numbers = program.channels * high * wide + self.recorder.size
        size = BLOCK_BYTES // (numbers * dtype.itemsize)
        self.block = max(LANES, min(512, size // LANES * LANES))

    def side(self, x: np.ndarray, threads: int) -> Side:
        """Images in the layout of the engine, and everything that depends on one."""
        planar = x.reshape(len(x), -1, x.shape[-1]).transpose(0, 2, 1)
        return self.recorded(planar.reshape(len(x), -1), threads)

    def recorded(self, images: np.ndarray, threads: int) -> Side:
        """``[B, channels * pixels]`` with everything that depends on one image."""
        images, n = np.ascontiguousarray(images, self.dtype), len(images)
        maps = np.empty((n, self.recorder.size), self.dtype)
        variances = np.zeros(n)

        def work(tiles: Any) -> None:
            memory = self.own.workspace() if self.own else None
            for start in tiles:
                which = lanes(np.arange(start, min(start + LANES, n)))
                self.recorder.record(images, which, maps)
                if memory is not None:
                    own = self.own.run(memory, ((images, maps, which),) * 2)
                    variances[which] = np.maximum(own[0], 0)

        share(range(0, n, LANES), work, threads)
        return Side(images, maps, variances)

    def run(self, one: Side, two: Side, same: bool, threads: int) -> Scalars:
        """The kernels of a block of pairs, after the head."""
        entry = self.planes(one, two, same, threads)
        return run_head(self.program.head, entry)[0]

    def planes(self, one: Side, two: Side, same: bool, threads: int) -> Scalars:
        """The kernels of a block of pairs, before the head."""
        n, m = len(one.images), len(two.images)
        k, t = np.empty((n, m)), np.empty((n, m)) if self.want_t else None
        out = Scalars(k, t, one.variances, two.variances)
        for engine, sides, which, pairs in self.shares(one, two, same, threads):
            for whole, values in zip(
                (k, t), engine._sums(*sides, *which, threads), strict=True
            ):
                if whole is not None:
                    whole[pairs] = values
        if same:
            for whole in (k, t):
                if whole is not None:
                    upper = np.triu_indices(n, 1)
                    whole.T[upper] = whole[upper]
        return out

    def shares(
        self, one: Side, two: Side, same: bool, threads: int
    ) -> Iterator[tuple["Engine", tuple[Side, Side], Pairs, Pairs]]:
        """The pairs of a block: the engine that runs them, its sides, where the pairs
        are in these, and where they are in the block.

        In float32, pairs of nearly parallel images are run in float64: their angle is
        the square root of what rounding leaves of a correlation.
        """
        first, second = pairs_of(len(one.images), len(two.images), same)
        if self.dtype == np.float64:
            yield self, (one, two), (first, second), (first, second)
            return
        near = nearly_parallel(one.images, two.images)[first, second]
        far = first[~near], second[~near]
        yield self, (one, two), far, far
        if near.any():
            pairs = first[near], second[near]
            precise = engine_for(self.program, np.dtype(np.float64), self.want_t)
            sides, which = precise.sides_of(one, two, same, pairs, threads)
            yield precise, sides, which, pairs

    def sides_of(
        self, one: Side, two: Side, same: bool, pairs: Pairs, threads: int
    ) -> tuple[tuple[Side, Side], Pairs]:
        """The images of some pairs alone, in this engine, and where the pairs are."""
        if same:
            used, places = np.unique(pairs, return_inverse=True)
            side = self.recorded(one.images[used], threads)
            return (side, side), tuple(places.reshape(2, -1))
        used1, first = np.unique(pairs[0], return_inverse=True)
        used2, second = np.unique(pairs[1], return_inverse=True)
        left = self.recorded(one.images[used1], threads)
        return (left, self.recorded(two.images[used2], threads)), (first, second)

    def _sums(
        self, one: Side, two: Side, first: Any, second: Any, threads: int
    ) -> np.ndarray:
        """k and t of some pairs, ``[2, pairs]``."""
        out = np.empty((2, len(first)))

        def work(tiles: Any) -> None:
            memory = self.forward.workspace()
            for start in tiles:
                i1, i2 = first[start : start + LANES], second[start : start + LANES]
                sides = (
                    (one.images, one.maps, lanes(i1)),
                    (two.images, two.maps, lanes(i2)),
                )
                sums = self.forward.run(memory, sides)
                out[:, start : start + LANES] = sums[:, : len(i1)]

        share(range(0, len(first), LANES), work, threads)
        return out


def pairs_of(n: int, m: int, same: bool) -> Pairs:
    """Row and column of all pairs of a block; of the upper triangle if ``same``."""
    if same:
        return np.triu_indices(n)
    return tuple(index.ravel() for index in np.indices((n, m)))


def lanes(which: np.ndarray) -> np.ndarray:
    """``which``, its last entry repeated up to ``LANES`` entries."""
    return np.concatenate([which, np.repeat(which[-1:], LANES - len(which))])


@lru_cache(maxsize=32)
def engine_for(program: Program, dtype: np.dtype, want_t: bool) -> Engine:
    """The engine of a program, compiled at the first call."""
    return Engine(program, np.dtype(dtype), want_t)
