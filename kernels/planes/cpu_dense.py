r"""Exact kernels of fully connected networks on the CPU: matrix products of blocks of
rows, then all layers on a block while it is in cache. No array per layer is made."""

from collections.abc import Iterable, Iterator
from copy import copy
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..results import NAMES, wanted
from .cpu import check
from .cpu_dense_ops import Place, addresses
from .cpu_dense_rows import forward_rows
from .cpu_lanes import LANES
from .cpu_matmul import PANEL, add_product, packed
from .cpu_workers import default_threads, share
from .dense_plan import PAR, RECTIFIED, Plan
from .program import Program

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
# Rows and columns of a block at most, and bytes that its rows and columns may take.
ROWS, COLUMNS, BLOCK_BYTES = 256, 2048, 8 << 20
# Rows of a block that a thread takes at a time: with all columns, 256 KB in float32.
SHARE = 32
# Bytes of a strip with all its values: they stay in the second cache.
STRIP_BYTES, SHORTEST, LONGEST = 256 << 10, 4 * PANEL, 16 * PANEL
# Below this e, inner products leave more than 1e-6 (float32) or 1e-12 (float64) of
# error in the angle: a rounding error of eps in e is one of eps / sqrt(2 e) in it.
NEAR = {SINGLE: 1e-2, DOUBLE: 1e-6}
# Variance of a zero row.
TINY = 1e-30
# A block with more nearly parallel pairs than this is computed in float64.
MANY = 1 / 16


class Side:
    """Some rows of an input, and everything that depends on one of them.

    Attributes:
        source, rows: the input, and which of its rows.
        x: ``[rows, d]``, in the dtype of the input.
        variances: of every value of the plan, float64.
        maps: float64 ``[maps, rows]``.
        inverse: 1 / |x|, float64.
        zeros: whether some row is zero.

    A zero row is computed as one of variance TINY at a right angle to every other: its
    gradient is that of the limit.
    """

    def __init__(self, plan: Plan, x: np.ndarray, rows: slice) -> None:
        self.source, self.rows = x, rows
        self.x = np.array(x[rows], order="C")
        squares = np.einsum("nd,nd->n", self.x, self.x, dtype=np.float64)
        self.zeros = bool((squares == 0).any())
        squares_or_tiny = np.where(squares > 0, squares, TINY * plan.channels)
        self.variances = plan.variances(squares_or_tiny / plan.channels)
        true = plan.variances(squares / plan.channels) if self.zeros else None
        self.maps = plan.row_maps(self.variances, true)
        self.inverse = squares_or_tiny**-0.5
        self._packed: dict[np.dtype, np.ndarray] = {}

    def after(self, start: int) -> "Side":
        """The rows from ``start`` on, a multiple of PANEL further."""
        skip = start - self.rows.start
        if skip <= 0:
            return self
        part = copy(self)
        part.rows = slice(start, self.rows.stop)
        part.x, part.inverse = self.x[skip:], self.inverse[skip:]
        part.variances = [v[skip:] for v in self.variances]
        part.maps = self.maps[:, skip:]
        part._packed = {k: b[skip // PANEL :] for k, b in self._packed.items()}
        part.__dict__.pop("sample", None)
        return part

    def __len__(self) -> int:
        return len(self.x)

    def columns(self, dtype: np.dtype) -> np.ndarray:
        """The rows as columns of a matrix, ``packed``."""
        if dtype not in self._packed:
            self._packed[dtype] = packed(self.x.T, dtype)
        return self._packed[dtype]

    def padded(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """``values`` ``[..., rows]``, their last column repeated up to PANEL."""
        pad = [(0, 0)] * (values.ndim - 1) + [(0, -len(self) % PANEL)]
        return np.ascontiguousarray(np.pad(values, pad, mode="edge"), dtype)

    @property
    def sampled(self) -> np.ndarray:
        """A few row numbers."""
        return np.arange(self.rows.start, self.rows.stop, max(1, len(self) // 16))

    @cached_property
    def sample(self) -> np.ndarray:
        """Directions of these rows, float64."""
        some = self.sampled - self.rows.start
        return self.x[some] * self.inverse[some, None]


class Sweep:
    """What the compiled code needs to know of two sides, and memory for it."""

    def __init__(
        self, plan: Plan, one: Side, two: Side, dtype: np.dtype, back: bool
    ) -> None:
        self.plan, self.one, self.two, self.dtype = plan, one, two, dtype
        self.maps1 = np.ascontiguousarray(one.maps.T, dtype)
        self.maps2 = two.padded(two.maps, dtype)
        if dtype == DOUBLE:
            self.maps1[:, plan.rounding] = self.maps2[plan.rounding] = 0
        self.inverse2 = two.padded(two.inverse, dtype)
        self.parameters = plan.parameters.astype(dtype)
        if one.zeros or two.zeros:
            rectified = [item.step in RECTIFIED for item in plan.items]
            self.parameters[rectified, PAR.careful] = 1
        self.where = addresses(plan, dtype, fine=back)
        numbers = 2 * plan.values * (2 if back else 1)
        strip = STRIP_BYTES // (numbers * dtype.itemsize) // PANEL * PANEL
        self.width = min(max(strip, SHORTEST), LONGEST)
        self.back = back

    @property
    def torus(self) -> int:
        """Columns, padded."""
        return self.maps2.shape[1]

    def workspace(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Memory of one thread, places in it, and where the maps of a row begin. The
        values begin at LANES."""
        values = 2 * self.width * self.plan.values
        slots = self.plan.slots if self.back else 0
        bars = LANES + values
        sums1 = bars + (values if self.back else 0)
        maps = sums1 + slots * LANES
        sums2 = maps + self.plan.maps * LANES
        W = np.zeros(sums2 + slots * self.torus, self.dtype)
        places = np.zeros(len(Place), np.int64)
        places[Place.width], places[Place.bars] = self.width, values
        places[Place.sums1], places[Place.sums2] = sums1, sums2
        places[Place.stride2] = self.torus
        return W, places, maps

    def products(self, C: np.ndarray, start: int, stop: int) -> None:
        """Set C to the inner products of some rows with all columns."""
        C[...] = 0
        rows = self.one.x[start:stop]
        add_product(C, rows, self.two.columns(self.dtype), 0, stop - start)

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Rows and maps, as the compiled code takes them."""
        one, two = self.one, self.two
        maps = (self.maps1, self.maps2.reshape(-1), one.inverse, two.inverse)
        return (one.x, two.x, *maps, self.inverse2, NEAR[self.dtype])


class DenseEngine:
    """A program of one pixel, for inputs of one dtype."""

    def __init__(self, program: Program, dtype: np.dtype) -> None:
        self.plan = Plan(program)
        self.dtype = np.dtype(dtype)

    def inner(self, one: Side, two: Side) -> np.dtype:
        """The dtype to compute a block in: float64 where float32 would lose too much,
        after a smooth dual or where many rows are nearly parallel."""
        if self.dtype == DOUBLE or not self.plan.exact:
            return DOUBLE
        near = 1 - one.sample @ two.sample.T < NEAR[SINGLE]
        if one.source is two.source:
            # A row is near itself, which says nothing of the others.
            near &= one.sampled[:, None] != two.sampled
        return DOUBLE if near.mean() > MANY else SINGLE

    def forward(
        self, one: Side, two: Side, K: np.ndarray, T: np.ndarray | None, threads: int
    ) -> None:
        """Fill the block K, and T, of the rows of two sides."""
        sweep = Sweep(self.plan, one, two, self.inner(one, two), False)
        two.columns(sweep.dtype)  # once, before the threads ask for it

        def work(starts: Iterable[int]) -> None:
            W, places, maps = sweep.workspace()
            C = np.empty((SHARE, sweep.torus), sweep.dtype)
            D = C if T is None else np.empty_like(C)
            for start in starts:
                stop = min(start + SHARE, len(one))
                k, t = C[: stop - start], D[: stop - start]
                sweep.products(k, start, stop)
                forward_rows(
                    W, k, t, start, *sweep.inputs, sweep.parameters, self.plan.ops,
                    places, sweep.where, LANES, -1 if T is None else 0, maps,
                    self.plan.result,
                )  # fmt: skip
                K[start:stop] = k[:, : len(two)]
                if T is not None:
                    T[start:stop] = t[:, : len(two)]

        share(range(0, len(one), SHARE), work, threads)

    def blocks(
        self, x1: np.ndarray, x2: np.ndarray | None
    ) -> Iterator[tuple[Side, Iterator[Side]]]:
        """Columns, and the rows to combine them with. Of x1 with itself, only the rows
        that come before some of the columns."""
        other = x1 if x2 is None else x2
        fit = BLOCK_BYTES // (x1.shape[1] * x1.itemsize) // PANEL * PANEL
        rows, columns = max(PANEL, min(ROWS, fit)), max(PANEL, min(COLUMNS, fit))
        for j in range(0, len(other), columns):
            right = Side(self.plan, other, slice(j, min(j + columns, len(other))))
            end = len(x1) if x2 is not None else right.rows.stop
            yield (
                right,
                (
                    Side(self.plan, x1, slice(i, min(i + rows, end)))
                    for i in range(0, end, rows)
                ),
            )


@lru_cache(maxsize=32)
def engine_for(program: Program, dtype: np.dtype) -> DenseEngine:
    """The engine of a program."""
    return DenseEngine(program, dtype)


def kernel(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray | None = None,
    get: str | tuple[str, ...] = NAMES,
    threads: int | None = None,
) -> Any:
    """NNGP and NTK of a fully connected network between all rows of x1 and of x2.

    Beyond inputs and result, memory does not grow with the number of rows.

    Args:
        program: made by ``lower``, of one pixel.
        x1: ``[n, d]``, float32 or float64.
        x2: ``[m, d]``; None for x1 itself, when half of the pairs are computed.
        get: "nngp", "ntk" or a tuple of them.
        threads: number of threads; None for every core.

    Returns:
        ``[n, m]`` in the dtype of the inputs; a tuple of them if ``get`` is one.
    """
    names = wanted(get)
    check(program, x1, x2)
    engine = engine_for(program, x1.dtype)
    shape = (len(x1), len(x1 if x2 is None else x2))
    K = np.empty(shape, x1.dtype)
    T = np.empty(shape, x1.dtype) if "ntk" in names else None
    for right, lefts in engine.blocks(x1, x2):
        for left in lefts:
            part = right.after(left.rows.start) if x2 is None else right
            block = (left.rows, part.rows)
            ntk = None if T is None else T[block]
            engine.forward(left, part, K[block], ntk, threads or default_threads())
    if x2 is None:
        for array in (K, T):
            if array is not None:
                _mirror(array)
    out = {"nngp": K, "ntk": T}
    return out[get] if isinstance(get, str) else tuple(out[name] for name in names)


def _mirror(K: np.ndarray) -> None:
    """Copy the upper triangle to the lower one, block by block."""
    for i in range(0, len(K), ROWS):
        rows = slice(i, i + ROWS)
        own = K[rows, rows]
        own[...] = np.triu(own) + np.triu(own, 1).T
        for j in range(i + ROWS, len(K), ROWS):
            cols = slice(j, j + ROWS)
            K[cols, rows] = K[rows, cols].T
