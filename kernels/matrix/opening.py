"""The stores of kernel matrices: made, opened, finished, verified."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Kernels
from .description import describe
from .evaluation import Job, dtype_of
from .fill import fill
from .manifest import Manifest, fingerprints, inputs_as_numpy, library_version
from .progress import progress_bar
from .published import PublishedMatrix, published_names
from .store import Store
from .stored import StoredMatrix, kernel_of
from .tiled import TiledMatrix
from .tiles import Grid, file_tile

Array = Any


def make_store(
    path: Any,
    kernel: Callable[..., Any],
    x1: Array,
    x2: Array | None,
    names: tuple[str, ...],
    tile: int | None,
) -> tuple[Store, Job]:
    """The store in ``path``, new or begun, and the job that fills it; see
    ``compute``."""
    own = inputs_as_numpy("x1", x1)
    other = None if x2 is None else inputs_as_numpy("x2", x2)
    across = own if other is None else other
    side = tile or file_tile(kernel, own.shape, len(across))
    grid = Grid(len(own), len(across), side, other is None)
    edges = [
        (0, *(block.stop for block in blocks))
        for blocks in (grid.row_blocks, grid.column_blocks)
    ]
    begun = _begun(path)
    if begun is not None and begun.shape == (len(own), len(across)):
        theirs = [begun.row_edges, begun.column_edges]
        if tile is not None and theirs != edges:
            largest = max(int(np.diff(e).max()) for e in theirs)
            raise ValueError(
                f"tile is {tile}, but the store {str(path)!r} was begun with tiles of "
                f"up to {largest}; leave tile out to go on with them"
            )
        edges = theirs
    rows = fingerprints(own, edges[0])
    manifest = Manifest(
        kernel=describe(kernel),
        names=names,
        dtype=_stored(dtype_of(kernel, x1, names)) if begun is None else begun.dtype,
        symmetric=other is None,
        row_edges=edges[0],
        column_edges=edges[1],
        input_dtype=own.dtype.str,
        input_shape=own.shape[1:],
        rows=rows,
        columns=rows if other is None else fingerprints(other, edges[1]),
        version=library_version(),
    )
    store = Store.make(path, manifest, own, other)
    if isinstance(x1, np.ndarray):
        # Whoever computes a tile reads the inputs from the store.
        return store, Job(kernel, store=store)
    return store, Job(kernel, x1, x2, store)


def open_matrix(path: Any, get: str | None = None) -> TiledMatrix | Kernels:
    """A kernel matrix on disk, of which no more is read than is asked for.

    Args:
        path: a store made by ``compute(..., path=...)``, also an incomplete one; or a
            folder in the layout of the kernels that Google published: NumPy files
            ``ntk-i-j`` and ``nngp-i-j`` without a manifest.
        get: "nngp" or "ntk"; None for all that is there.

    Returns:
        A lazy array: ``k[rows, columns]``, ``k.diagonal()``, ``k @ v``,
        ``k.to_numpy()``, and for a store ``k.missing`` and ``k.extend(rows)``; or
        ``Kernels`` of them, if several are there and get is None.

    Raises:
        FileNotFoundError: there is nothing of this kind at ``path``.
        ValueError: ``get`` is not there, or the folder cannot be understood.

    >>> import tempfile, numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     k = tg.compute(kernel, np.eye(3), path=f"{folder}/k.tiles")
    ...     k = tg.open_matrix(f"{folder}/k.tiles")
    ...     bool(np.all(k[1:, 0] == kernel(np.eye(3), get="ntk")[1:, 0]))
    True
    """
    try:
        store = Store.open(path)
    except FileNotFoundError:
        names = published_names(Path(path))
        if not names:
            raise
        matrices = {name: PublishedMatrix(Path(path), name) for name in names}
    else:
        matrices = {name: StoredMatrix(store, name) for name in store.manifest.names}
    if get is not None and get not in matrices:
        raise ValueError(
            f"get is {get!r}, but {str(path)!r} holds {' and '.join(matrices)}"
        )
    if get is None and len(matrices) > 1:
        return Kernels(**matrices)
    return matrices[get or next(iter(matrices))]


def resume_matrix(
    path: Any,
    kernel: Callable[..., Any] | None = None,
    executor: Any = None,
    workers_write: bool | None = None,
    progress: bool = True,
) -> TiledMatrix | Kernels:
    """Finish the store of a run that was interrupted, and mend tiles that are damaged.

    The inputs are read from the store, and so is the network.

    Args:
        path: the store.
        kernel: the kernel it was made with; None for one that the store describes,
            which is any ``ExactKernel`` without functions or arrays of the user.
        executor, workers_write, progress: as in ``compute``.

    Returns:
        What ``open_matrix(path)`` returns.
    """
    store = Store.open(path)
    job = Job(kernel_of(store, kernel), store=store)
    fill(store, job, executor, workers_write, progress)
    return open_matrix(path)


def verify_matrix(path: Any, progress: bool = True) -> dict[str, str]:
    """What is wrong with the tiles of a store, by file; empty if it is complete.

    Every tile is read and its checksum compared; ``resume_matrix`` computes those that
    are named here again.

    Args:
        path: the store.
        progress: whether to show a bar.
    """
    store = Store.open(path)
    tiles = [(n, i, j) for n in store.manifest.names for i, j in store.positions()]
    found = {}
    with progress_bar(len(tiles), "verified", "tile", progress) as advance:
        for tile in tiles:
            problem = store.fault(*tile)
            if problem:
                found[store.path(*tile).name] = problem
            advance(1)
    return found


def _begun(path: Any) -> Manifest | None:
    try:
        return Store.open(path).manifest
    except FileNotFoundError:
        return None


def _stored(dtype: np.dtype) -> str:
    return dtype.newbyteorder("<").str
