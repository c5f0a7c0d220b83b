"""Gradients through the matrix of a kernel over whole datasets, tile by tile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..inputs import check_inputs
from ..kernel import ExactKernel
from ..planes import lower
from ..planes.cpu_workers import default_threads
from ..results import wanted
from .evaluation import block_size
from .execution import run_job
from .executors import opened
from .host import as_numpy
from .pull_back import PullBack, fused, pull_back_of
from .tiles import Grid, tile_size

Array = Any
# Columns of tiles that a matrix has at least, so that threads share it evenly. It does
# not depend on their number, and so neither does any bit of the sum.
COLUMNS = 16
# Rows of tiles at least: what the compiled kernels compute side by side.
SMALLEST = 16


def compute_gradient(
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None,
    cotangent: np.ndarray,
    get: str = "ntk",
    tile: int | None = None,
    executor: Any = None,
) -> np.ndarray:
    r"""The gradient in x1 of a function of K(x1, x2), whose gradient in K is given.

    .. math:: \frac{\partial}{\partial x_1} \sum_{ij} C_{ij} K(x_1, x_2)_{ij}

    Every tile is computed again and pulled back on its own: memory is that of a tile,
    whatever the number of inputs. Equal calls give equal bits on the CPU, on any
    number of cores.

    Args:
        kernel: ``kernel(x1, x2, get)``, see ``compute``, that the compiled engine, JAX
            or torch can differentiate in its inputs.
        x1: inputs ``[n, ...]`` of NumPy, JAX or torch.
        x2: inputs ``[m, ...]``, taken to be constant; None for x1 itself, whose whole
            gradient is returned.
        cotangent: C, ``[n, m]``.
        get: "nngp" or "ntk".
        tile: largest number of rows and columns of a tile; None to choose it by the
            cost of the kernel.
        executor: where tiles run, as of ``compute``; None for the threads of this
            process.

    Returns:
        A NumPy array like x1.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Dense(1)))
    >>> x, one = np.eye(3), np.eye(3)[:1]
    >>> tg.compute_gradient(kernel, one, x, np.ones((1, 3)), "nngp").round(6).tolist()
    [[0.333333, 0.333333, 0.333333]]
    """
    (name,) = wanted(get)
    check_inputs(x1, x2)
    n, m = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    cotangent = np.asarray(cotangent)
    if cotangent.shape != (n, m):
        raise ValueError(
            f"cotangent has shape {cotangent.shape}, expected {(n, m)}, one entry for "
            "every pair of rows"
        )
    if tile is None:
        tile = block_size(kernel, x1) or _shared_tile(kernel, x1, max(n, m))
    grid = Grid(n, m, tile, symmetric=x2 is None)
    tasks = (
        (rows, columns, _own_part(cotangent, rows, columns, x2 is None))
        for rows, columns in grid
    )
    total = np.zeros(tuple(x1.shape), as_numpy("x1", x1[:1, ...]).dtype)
    with _workers(executor, fused(kernel, x1)) as workers:
        parts = run_job(_pulled_back, GradientJob(kernel, x1, x2, name), tasks, workers)
        for (rows, columns), (left, right) in zip(grid, parts, strict=True):
            total[rows] += left
            if right is not None:
                total[columns] += right
    return total


def _shared_tile(kernel: ExactKernel, x: np.ndarray, columns: int) -> int:
    """Rows of a tile of the compiled kernels, worth a call."""
    pixels = 1 if lower(kernel.net, x.shape).one_pixel else prod(x.shape[1:-1])
    least = max(SMALLEST, tile_size(kernel, (len(x), pixels, 1)))
    return max(least, -(-columns // COLUMNS))


@dataclass
class GradientJob:
    """What all tiles have in common: it is sent to a worker once."""

    kernel: Callable[..., Any]
    x1: Array
    x2: Array | None
    name: str
    _pull_back: PullBack | None = None

    @property
    def pull_back(self) -> PullBack:
        if self._pull_back is None:
            # Where x2 is constant, nothing is pulled back to it.
            second = self.x2 is None
            self._pull_back = pull_back_of(self.kernel, self.x1, self.name, second)
        return self._pull_back

    def __getstate__(self) -> dict[str, Any]:
        # Compiled code does not travel.
        return {**self.__dict__, "_pull_back": None}


def _pulled_back(
    job: GradientJob, rows: slice, columns: slice, bar: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """The gradients of a tile: of its rows, and of its columns if they are x1 too."""
    own = job.x2 is None and rows == columns
    a = job.x1[rows, ...]
    b = None if own else (job.x1 if job.x2 is None else job.x2)[columns, ...]
    left, right = job.pull_back(a, b, bar)
    return left, right if job.x2 is None else None


def _own_part(
    cotangent: np.ndarray, rows: slice, columns: slice, symmetric: bool
) -> np.ndarray:
    """The cotangent of a tile, with that of its mirror image."""
    part = cotangent[rows, columns]
    if symmetric and rows != columns:
        part = part + cotangent[columns, rows].T
    return np.ascontiguousarray(part)


@contextmanager
def _workers(executor: Any, threaded: bool) -> Iterator[Any]:
    """The executor that is meant; None where other libraries have their own threads."""
    if executor is None and threaded and default_threads() > 1:
        with ThreadPoolExecutor(default_threads()) as threads:
            yield threads
        return
    with opened(executor) as workers:
        yield workers
