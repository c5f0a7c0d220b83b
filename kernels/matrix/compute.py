"""The matrix of a kernel over a whole dataset, in memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np

from ..inputs import check_inputs
from ..results import Kernels, package, wanted
from .execution import run_tasks
from .host import as_numpy
from .progress import progress_bar
from .tiles import Grid, size, tile_size

Array = Any


def compute(
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None = None,
    get: str | tuple[str, ...] = "ntk",
    tile: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> np.ndarray | Kernels:
    """The kernel between all rows of x1 and x2, computed tile by tile.

    No more than one tile is ever held by the array library of the inputs; the matrix
    is assembled in host memory. Without x2, only the tiles on and above the diagonal
    are computed, and the result is exactly symmetric.

    Args:
        kernel: ``kernel(x1, x2=None, get)`` such as ``ExactKernel(net)``.
        x1: inputs ``[n, ...]`` of NumPy, JAX or torch.
        x2: inputs ``[m, ...]``; None for x1 itself.
        get: "nngp", "ntk", or a tuple of them, computed in one pass.
        tile: largest number of rows and columns of a tile; None to fit a cache.
        executor: where tiles run, e.g. a ``ThreadPoolExecutor`` for NumPy inputs; None
            for this thread. The matrix is the same, to the last bit.
        progress: whether to show a bar (on a terminal, if tqdm is installed).

    Returns:
        A NumPy array ``[n, m]`` in the dtype of the kernel, or ``Kernels`` of them for
        a tuple.

    Raises:
        TypeError, ValueError: the inputs are not fit, see ``ExactKernel``; or the
            network ends with spatial axes.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> x = np.eye(3)
    >>> bool(np.all(tg.compute(kernel, x, tile=2) == kernel(x, get="ntk")))
    True
    """
    names = wanted(get)
    check_inputs(x1, x2)
    tile = _checked_tile(tile) or tile_size(kernel, tuple(x1.shape))
    other = x1 if x2 is None else x2
    grid = Grid(x1.shape[0], other.shape[0], tile, symmetric=x2 is None)
    tiles = list(grid)

    def tasks() -> Iterator[tuple[Any, ...]]:
        for rows, columns in tiles:
            own = grid.symmetric and rows == columns
            yield kernel, x1[rows, ...], None if own else other[columns, ...], names

    out: dict[str, np.ndarray] = {}
    with progress_bar(grid.pairs, " and ".join(names), "pair", progress) as advance:
        results = run_tasks(_evaluate, tasks(), executor)
        for (rows, columns), result in zip(tiles, results, strict=True):
            for name, k in result.items():
                if name not in out:
                    out[name] = np.empty((grid.rows, grid.columns), k.dtype)
                out[name][rows, columns] = k
                if grid.symmetric and rows != columns:
                    out[name][columns, rows] = k.T
            advance(size(rows) * size(columns))
    return package(get, names, tuple(out[name] for name in names))


def compute_diagonal(
    kernel: Callable[..., Any], x: Array, get: str = "ntk", block: int = 8
) -> np.ndarray:
    """K(x, x) of every row of x, ``[n]``, in memory that does not grow with n.

    Args:
        kernel, get: as in ``compute``, for one name.
        x: inputs ``[n, ...]``.
        block: rows per call of the kernel, which computes their pairs as well.
    """
    (name,) = wanted(get)
    check_inputs(x, None)
    blocks = Grid(x.shape[0], 1, _checked_tile(block) or 8).row_blocks
    parts = (_evaluate(kernel, x[rows, ...], None, (name,))[name] for rows in blocks)
    return np.concatenate([np.diagonal(k) for k in parts])


def _evaluate(
    kernel: Callable[..., Any], x1: Array, x2: Array | None, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """One tile of every kernel, in host memory."""
    got = kernel(x1, x2, names if len(names) > 1 else names[0])
    arrays = [getattr(got, name) for name in names] if len(names) > 1 else [got]
    expected = (x1.shape[0], (x1 if x2 is None else x2).shape[0])
    tiles = {}
    for name, array in zip(names, arrays, strict=True):
        k = as_numpy(name, array)
        if k.shape != expected:
            raise ValueError(
                f"kernel: its {name} has shape {k.shape}, expected {expected}; a "
                "network that keeps spatial axes needs Flatten() or "
                "GlobalAvgPool() at its end"
            )
        tiles[name] = k
    return tiles


def _checked_tile(tile: int | None) -> int | None:
    if tile is not None and (
        not isinstance(tile, int) or isinstance(tile, bool) or tile < 1
    ):
        raise ValueError(f"tile is {tile!r}, expected an integer >= 1 or None")
    return tile
