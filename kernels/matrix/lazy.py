"""A kernel matrix that is nowhere: its entries are computed when they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from ..inputs import check_inputs
from ..results import wanted
from .compute import checked_tile, compute_diagonal
from .evaluation import Job, dtype_of, tile_of
from .tiled import TiledMatrix
from .tiles import Grid, file_tile

Array = Any
CACHE = 2**28


class KernelMatrix(TiledMatrix):
    """The matrix of a kernel, computed tile by tile wherever it is read.

    It is what ``open_matrix`` returns, without the disk: for products and solvers on a
    kernel that costs little more than reading an entry would. An entry of a
    convolutional kernel costs a thousand times as much: ``compute`` those once.

    Args:
        kernel: ``kernel(x1, x2=None, get)`` such as ``ExactKernel(net)``.
        x1: inputs ``[n, ...]``.
        x2: inputs ``[m, ...]``; None for x1 itself.
        get: "nngp" or "ntk".
        tile: largest number of rows and columns of a tile; None to choose it by the
            cost of the kernel.
        cache: bytes of tiles that are kept. The first tiles stay for good: in sweeps
            over the whole matrix, a cache of the latest ones would never be hit.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> k = tg.KernelMatrix(kernel, np.eye(3))
    >>> solution = tg.solve(k, np.ones(3), solver="pcg")
    >>> bool(np.allclose(kernel(np.eye(3), get="ntk") @ solution.x, 1))
    True
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        x1: Array,
        x2: Array | None = None,
        get: str = "ntk",
        tile: int | None = None,
        cache: int = CACHE,
    ) -> None:
        names = wanted(get)
        if len(names) > 1:
            raise ValueError(f"get is {get!r}, expected one name, 'nngp' or 'ntk'")
        check_inputs(x1, x2)
        if cache < 0:
            raise ValueError(f"cache is {cache!r}, expected a number of bytes >= 0")
        n, m = x1.shape[0], (x1 if x2 is None else x2).shape[0]
        self.name, self.symmetric = names[0], x2 is None
        side = checked_tile(tile) or file_tile(kernel, tuple(x1.shape), m)
        grid = Grid(n, m, side, self.symmetric)
        self.row_edges = _edges(grid.row_blocks)
        self.column_edges = _edges(grid.column_blocks)
        self.dtype = dtype_of(kernel, x1, names)
        self.cache = cache
        self._job = Job(kernel, x1, x2)
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def tile(self, i: int, j: int) -> np.ndarray:
        if (i, j) in self._kept:
            return self._kept[i, j]
        names, rows, columns = (self.name,), self.rows(i), self.columns(j)
        k = tile_of(self._job, names, rows, columns)[self.name]
        k.flags.writeable = False
        if sum(t.nbytes for t in self._kept.values()) + k.nbytes <= self.cache:
            self._kept[i, j] = k
        return k

    def diagonal(self) -> np.ndarray:
        """The entries (k, k), ``[min(n, m)]``, without what is beside them."""
        if not self.symmetric:
            return super().diagonal()
        return compute_diagonal(self._job.kernel, self._job.x1, self.name)

    def _gather(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Just these entries, unless all tiles are kept."""
        if len(self._kept) == sum(1 for _ in self.tiles()):
            return super()._gather(rows, columns)
        if not len(rows) or not len(columns):
            return np.empty((len(rows), len(columns)), self.dtype)
        x1, x2 = self._job.inputs()
        own = self.symmetric and np.array_equal(rows, columns)
        other = None if own else _taken(x1 if self.symmetric else x2, columns)
        part = Job(self._job.kernel, _taken(x1, rows), other)
        whole = slice(0, len(rows)), slice(0, len(columns))
        try:
            return tile_of(part, (self.name,), *whole)[self.name]
        except ValueError as error:
            raise ValueError(
                f"{error} (counted among {len(rows)} rows from {rows[0]} and "
                f"{len(columns)} columns from {columns[0]})"
            ) from error


def _taken(x: Array, indices: np.ndarray) -> Array:
    xp = array_namespace(x)
    return xp.take(x, xp.asarray(indices, device=device(x)), axis=0)


def _edges(blocks: list[slice]) -> np.ndarray:
    return np.asarray([0, *(block.stop for block in blocks)])
