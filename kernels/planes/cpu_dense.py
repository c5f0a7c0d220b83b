r"""Exact kernels of fully connected networks on the CPU: matrix products of blocks of
rows, then all layers on a block while it is in cache. No array per layer is made."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .cpu_dense_ops import Place, addresses
from .cpu_dense_rows import forward_rows
from .cpu_lanes import LANES
from .cpu_workers import default_threads, share
from .dense_plan import Plan
from .families import inverse_std
from .program import Program

# Rows and columns of a block: its inner products are 2 MB in float32.
ROWS, COLUMNS = 256, 2048
# Pairs of a strip: two values of two numbers each fill half of a 32 KB cache.
STRIP = 512
# Rows of a block that a thread takes at a time.
SHARE = 32
# Below this e, inner products leave an error of more than 1e-6 in the angle (float32),
# or 1e-12 (float64): rounding eps |x|^2 becomes eps / sqrt(2 e).
NEAR = {np.dtype(np.float32): 1e-2, np.dtype(np.float64): 1e-6}
# A block with more nearly parallel pairs than this is multiplied in float64.
MANY = 1 / 16


@dataclass
class Side:
    """Rows of an input: what depends on one row, columns padded to LANES.

    Args:
        x: all rows of the input, ``[n, d]``.
        rows: the rows of this side.
        variances: of every value of the plan, float64.
        maps: float64 ``[maps, rows]``.
        inverse: 1 / |x| in float64.
    """

    x: np.ndarray
    rows: slice
    variances: list[np.ndarray]
    maps: np.ndarray
    inverse: np.ndarray

    @property
    def block(self) -> np.ndarray:
        return self.x[self.rows]

    def padded(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """``values`` ``[..., rows]``, continued by their last column to LANES."""
        pad = [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % LANES)]
        return np.ascontiguousarray(np.pad(values, pad, mode="edge"), dtype)


class DenseEngine:
    """A program of one pixel, compiled for one dtype."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.plan = Plan(program)
        self.dtype = np.dtype(dtype)
        # Where float32 would lose what angles need, floats are doubles inside.
        self.inner = self.dtype if self.plan.exact else np.dtype(np.float64)
        self.want_t = want_t
        self.where = addresses(self.plan, self.inner)
        self.parameters = self.plan.parameters.astype(self.inner)
        self.near = NEAR[self.inner]

    def side(self, x: np.ndarray, rows: slice) -> Side:
        """The rows of x, and their maps."""
        block = x[rows].astype(np.float64)
        squares = np.einsum("nd,nd->n", block, block)
        variances = self.plan.variances(squares / self.plan.channels)
        maps = self.plan.row_maps(variances)
        return Side(x, rows, variances, maps, inverse_std(squares))

    def products(self, one: Side, two: Side) -> np.ndarray:
        """Inner products ``[rows, columns padded to LANES]``."""
        n, m = len(one.inverse), len(two.inverse)
        out = np.zeros((n, m + -m % LANES), self.inner)
        wide = self.inner != self.dtype or self._mostly_near(one, two)
        left, right = one.block, two.block
        if wide and self.dtype != np.float64:
            left, right = left.astype(np.float64), right.astype(np.float64)
            out[:, :m] = left @ right.T
        else:
            np.matmul(left, right.T, out=out[:, :m])
        return out

    def _mostly_near(self, one: Side, two: Side) -> bool:
        """Whether many pairs are nearly parallel, judged by some of the rows."""
        if self.inner == np.float64:
            return False
        some = slice(None, None, 37)
        left, right = one.block[some], two.block[some]
        rho = left @ right.T * np.outer(one.inverse[some], two.inverse[some])
        return bool((1 - rho < self.near).mean() > MANY)

    def workspace(self) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Memory of one thread: W, places in it, where values and row maps begin."""
        values = 2 * STRIP * self.plan.values
        W = np.empty(LANES + values + LANES * self.plan.maps, self.inner)
        places = np.zeros(len(Place), np.int64)
        places[Place.width] = STRIP
        return W, places, LANES, LANES + values

    def forward(
        self, one: Side, two: Side, K: np.ndarray, T: np.ndarray | None, threads: int
    ) -> None:
        """Fill the block K, and T, of the rows of two sides."""
        C = self.products(one, two)
        M2 = two.padded(two.maps, self.inner).ravel()
        r2 = two.padded(two.inverse, self.inner)
        maps1, r1 = one.maps.astype(self.inner), one.inverse.astype(self.inner)

        def work(starts: Iterable[int]) -> None:
            W, places, k, at_maps = self.workspace()
            for start in starts:
                rows = (start, min(start + SHARE, len(K)))
                forward_rows(
                    W, C, K, K if T is None else T, one.x, two.x, one.rows.start,
                    two.rows.start, rows, maps1, M2, r1, r2, self.near,
                    self.parameters, self.plan.ops, places, self.where, k,
                    -1 if T is None else 0, at_maps, self.plan.result,
                )  # fmt: skip

        share(range(0, len(K), SHARE), work, threads)


@lru_cache(maxsize=32)
def engine_for(program: Program, dtype: np.dtype, want_t: bool) -> DenseEngine:
    """The engine of a program, compiled at the first call."""
    return DenseEngine(program, dtype, want_t)


def kernel(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray | None = None,
    get: str | tuple[str, ...] = ("nngp", "ntk"),
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
    names = (get,) if isinstance(get, str) else tuple(get)
    engine = engine_for(program, x1.dtype, "ntk" in names)
    threads = threads or default_threads()
    n, m = len(x1), len(x1 if x2 is None else x2)
    K = np.empty((n, m), x1.dtype)
    T = np.empty((n, m), x1.dtype) if "ntk" in names else None
    for left, right in _blocks(engine, x1, x2):
        rows, cols = left.rows, right.rows
        part = None if T is None else T[rows, cols]
        engine.forward(left, right, K[rows, cols], part, threads)
        if x2 is None:
            _mirror(K, rows, cols)
            if T is not None:
                _mirror(T, rows, cols)
    out = {"nngp": K, "ntk": T}
    return out[get] if isinstance(get, str) else tuple(out[name] for name in names)


def _mirror(K: np.ndarray, rows: slice, cols: slice) -> None:
    """Copy a block that begins at the diagonal across it."""
    own = K[rows, rows]
    lower = np.tril_indices(len(own), -1)
    own[lower] = own.T[lower]
    K[rows.stop : cols.stop, rows] = K[rows, rows.stop : cols.stop].T


def _blocks(
    engine: DenseEngine, x1: np.ndarray, x2: np.ndarray | None
) -> Iterable[tuple[Side, Side]]:
    other = x1 if x2 is None else x2
    for j in range(0, len(other), COLUMNS):
        right = engine.side(other, slice(j, min(j + COLUMNS, len(other))))
        stop = right.rows.stop if x2 is None else len(x1)
        for i in range(0, stop, ROWS):
            left = engine.side(x1, slice(i, min(i + ROWS, stop)))
            part = right
            if x2 is None and i > j:
                part = engine.side(other, slice(i, right.rows.stop))
            yield left, part
