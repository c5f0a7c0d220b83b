"""The matrix of a kernel over a whole dataset, in memory or on disk."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..inputs import check_inputs
from ..results import package, wanted
from .evaluation import Job, block_size, evaluate, tile_of
from .execution import run_job
from .executors import opened
from .fill import fill
from .opening import make_store
from .progress import progress_bar
from .stored import StoredMatrix
from .tiles import PARTS, Grid, file_tile

Array = Any


def compute(
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None = None,
    get: str | tuple[str, ...] = "ntk",
    tile: int | None = None,
    executor: Any = None,
    progress: bool | None = None,
    *,
    path: Any = None,
    workers_write: bool | None = None,
) -> Any:
    """The kernel between all rows of x1 and x2, computed tile by tile.

    No more than one tile is ever held by the array library of the inputs; the matrix
    is assembled in host memory, or on disk. Without x2, only the tiles on and above the
    diagonal are computed, and the result is exactly symmetric.

    Args:
        kernel: ``kernel(x1, x2=None, get)`` such as ``ExactKernel(net)``.
        x1: inputs ``[n, ...]`` of NumPy, JAX or torch.
        x2: inputs ``[m, ...]``; None for x1 itself.
        get: "nngp", "ntk", or a tuple of them, computed in one pass.
        tile: largest number of rows and columns of a tile; None to choose it by the
            cost of the kernel.
        executor: where tiles run: None for this thread; a number of processes on this
            machine, or "gpu" for one for each of its GPUs; the address of a Dask
            scheduler, or "dask" for a Dask cluster on this machine; or any
            ``concurrent.futures.Executor``.
        progress: whether to show a bar (on a terminal, if tqdm is installed); None for
            a bar where the matrix goes to disk.
        path: a folder for the tiles, new or begun by an earlier run with the same
            kernel and inputs, which is finished: tiles that are there are checked and
            kept. None to have the matrix in memory.
        workers_write: whether workers write their tiles to ``path`` themselves, on a
            disk that they share with this process; False to send them here. None for
            True where all runs on this machine.

    Returns:
        A NumPy array ``[n, m]`` in the dtype of the kernel, or with ``path`` a lazy
        matrix (see ``open_matrix``); ``Kernels`` of them if get is a tuple.

    Raises:
        TypeError, ValueError: the inputs are not fit, see ``ExactKernel``; the network
            ends with spatial axes; or an entry is NaN or infinite.
        StoreMismatchError: ``path`` holds the matrix of another kernel or other inputs.
        OSError: ``path`` cannot be written to. All tiles before are kept.
        WorkersLostError: the executor broke. All tiles before are kept.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> x = np.eye(3)
    >>> bool(np.all(tg.compute(kernel, x, tile=2) == kernel(x, get="ntk")))
    True
    """
    names = wanted(get)
    check_inputs(x1, x2)
    tile = checked_tile(tile)
    if path is None:
        shown = bool(progress)
        arrays = _in_memory(kernel, x1, x2, names, tile, executor, shown)
        return package(get, names, arrays)
    store, job = make_store(path, kernel, x1, x2, names, tile)
    fill(store, job, executor, workers_write, progress is not False)
    return package(get, names, tuple(StoredMatrix(store, name) for name in names))


def _in_memory(
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None,
    names: tuple[str, ...],
    tile: int | None,
    executor: Any,
    progress: bool,
) -> tuple[np.ndarray, ...]:
    m = (x1 if x2 is None else x2).shape[0]
    shape = tuple(x1.shape)
    if tile is None:
        alone = executor is None
        tile = block_size(kernel, x1) if alone else None
        tile = tile or file_tile(kernel, shape, m, 1 if alone else PARTS)
    grid = Grid(shape[0], m, tile, symmetric=x2 is None)
    tiles = list(grid)
    out: dict[str, np.ndarray] = {}
    with (
        opened(executor) as workers,
        progress_bar(len(tiles), " and ".join(names), "tile", progress) as advance,
    ):
        tasks = ((names, rows, columns) for rows, columns in tiles)
        results = run_job(tile_of, Job(kernel, x1, x2), tasks, workers)
        for (rows, columns), result in zip(tiles, results, strict=True):
            for name, k in result.items():
                if name not in out:
                    out[name] = np.empty((grid.rows, grid.columns), k.dtype)
                out[name][rows, columns] = k
                if grid.symmetric and rows != columns:
                    out[name][columns, rows] = k.T
            advance(1)
    return tuple(out[name] for name in names)


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
    blocks = Grid(x.shape[0], 1, checked_tile(block) or 8).row_blocks
    parts = (evaluate(kernel, x[rows, ...], None, (name,))[name] for rows in blocks)
    return np.concatenate([np.diagonal(k) for k in parts])


def checked_tile(tile: int | None) -> int | None:
    """``tile`` as ``compute`` takes it, or an error."""
    if tile is not None and (
        not isinstance(tile, int) or isinstance(tile, bool) or tile < 1
    ):
        raise ValueError(f"tile is {tile!r}, expected an integer >= 1 or None")
    return tile
