"""One tile of a kernel matrix, in host memory and checked."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..by_planes import matrix_by_planes, why_not_by_planes
from ..by_triton import PRECISIONS
from ..kernel import ExactKernel
from .host import as_numpy
from .store import Store
from .tiles import Grid, tile_size

Array = Any
Names = tuple[str, ...]


@dataclass
class Job:
    """What all tiles of a matrix have in common: it is sent to a worker once.

    Args:
        kernel: ``kernel(x1, x2, get)``.
        x1, x2: the inputs, x2 None for x1 itself; both None to be read from the store.
        store: where tiles are kept; None if they are returned only.
    """

    kernel: Callable[..., Any]
    x1: Array = field(default=None, repr=False)
    x2: Array = field(default=None, repr=False)
    store: Store | None = None

    def __post_init__(self) -> None:
        self._lock, self._compiled = Lock(), {}

    def __getstate__(self) -> dict[str, Any]:
        # Compiled code and locks do not travel.
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def inputs(self) -> tuple[Array, Array]:
        if self.x1 is None:
            self.x1, self.x2 = self.store.inputs()
        return self.x1, self.x2

    def compiled(self, names: Names) -> Any:
        """The matrix as the compiled engine has it, which keeps what depends on one
        image from tile to tile; None if the kernel has to be called for every tile."""
        kernel = self.kernel
        # A subclass may compute something else.
        if type(kernel) is not ExactKernel or kernel.engine not in ("auto", "planes"):
            return None
        if kernel.precision in PRECISIONS:
            # Refused by the call.
            return None
        with self._lock:
            if names not in self._compiled:
                # The latest alone: what it keeps takes memory.
                whole = matrix_by_planes(kernel.net, *self.inputs(), names)
                self._compiled = {names: whole}
            return self._compiled[names]


def tile_of(
    job: Job, names: Names, rows: slice, columns: slice
) -> dict[str, np.ndarray]:
    """Kernels between the inputs ``rows`` and ``columns``, block by block: no more than
    a block is ever held by the array library of the inputs."""
    at = rows.start, columns.start
    compiled = job.compiled(names)
    if compiled is not None:
        found = dict(zip(names, compiled.tile(rows, columns), strict=True))
        for name, k in found.items():
            _check_finite(name, k, at)
        return found
    x1, x2 = job.inputs()
    own = x2 is None and rows == columns
    a = x1[rows, ...]
    b = None if own else (x1 if x2 is None else x2)[columns, ...]
    block = block_size(job.kernel, a)
    n, m = a.shape[0], (a if own else b).shape[0]
    if block is None or max(n, m) <= block:
        return evaluate(job.kernel, a, b, names, at)
    out: dict[str, np.ndarray] = {}
    for i, j in Grid(n, m, block, symmetric=own):
        place = at[0] + i.start, at[1] + j.start
        other = None if own and i == j else (a if own else b)[j, ...]
        for name, k in evaluate(job.kernel, a[i, ...], other, names, place).items():
            if name not in out:
                out[name] = np.empty((n, m), k.dtype)
            out[name][i, j] = k
            if own and i != j:
                out[name][j, i] = k.T
    return out


def block_size(kernel: Callable[..., Any], x: Array) -> int | None:
    """Rows per call of the kernel that fit a cache; None if it cuts blocks itself."""
    if isinstance(kernel, ExactKernel) and kernel.engine != "exact":
        if why_not_by_planes(kernel.net, array_namespace(x), x) is None:
            return None
    return tile_size(kernel, tuple(x.shape))


def write_tile_of(job: Job, names: Names, i: int, j: int) -> None:
    """Compute a tile and keep it in the store, unless another process just did."""
    keep(job.store, missing_of(job, names, i, j), i, j)


def missing_of(job: Job, names: Names, i: int, j: int) -> dict[str, np.ndarray]:
    """The kernels of a tile, without those that another process just wrote."""
    store = job.store
    names = tuple(name for name in names if store.fault(name, i, j))
    return tile_of(job, names, store.rows(i), store.columns(j)) if names else {}


def keep(store: Store, found: dict[str, np.ndarray], i: int, j: int) -> None:
    """Write the kernels of a tile."""
    for name, k in found.items():
        store.write(name, i, j, k)


def dtype_of(kernel: Callable[..., Any], x: Array, names: Names) -> np.dtype:
    """The dtype of the entries, seen on one input where it is not known."""
    compiled = Job(kernel, x[:1, ...]).compiled(names)
    if compiled is not None:
        return compiled.dtype
    found = {k.dtype for k in evaluate(kernel, x[:1, ...], None, names).values()}
    if len(found) > 1:
        raise TypeError(f"kernel: its {names} have dtypes {found}, expected one")
    return found.pop()


def evaluate(
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None,
    names: Names,
    at: tuple[int, int] = (0, 0),
) -> dict[str, np.ndarray]:
    """One call of the kernel, its results as NumPy arrays ``[n, m]``.

    Args:
        kernel, x1, x2: see ``compute``.
        names: the kernels to return.
        at: row and column of the first entry, for messages.

    Raises:
        ValueError: the kernel has spatial axes, or NaN or infinity among its entries.
    """
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
        _check_finite(name, k, at)
        tiles[name] = k
    return tiles


def _check_finite(name: str, k: np.ndarray, at: tuple[int, int]) -> None:
    bad = ~np.isfinite(k)
    if bad.any():
        i, j = np.argwhere(bad)[0]
        (row, column), (n, m) = at, k.shape
        raise ValueError(
            f"kernel: its {name} has {bad.sum()} entries that are NaN or infinite in "
            f"the tile of rows {row}:{row + n} and columns {column}:{column + m}, the "
            f"first at ({row + i}, {column + j}); look at those two inputs, and "
            "compute in float64 if they are very large"
        )
