"""One kernel of a store, as a lazy array."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..inputs import check_inputs
from .description import describe, differences, rebuild
from .evaluation import Job
from .fill import fill
from .manifest import inputs_as_numpy
from .store import Store, StoreMismatchError
from .tiled import TiledMatrix


class StoredMatrix(TiledMatrix):
    """A kernel matrix on disk, mapped into memory tile by tile; see ``open_matrix``.

    Args:
        store: where the tiles are.
        name: "nngp" or "ntk".
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.row_edges = np.asarray(store.manifest.row_edges)
        self.column_edges = np.asarray(store.manifest.column_edges)
        self.symmetric = store.manifest.symmetric
        self.dtype = np.dtype(store.manifest.dtype)

    def tile(self, i: int, j: int) -> np.ndarray:
        return self.store.read(self.name, i, j)

    @property
    def path(self) -> Path:
        return self.store.folder

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The tiles that were not computed yet."""
        return [
            (i, j)
            for i, j in self.tiles()
            if not self.store.path(self.name, i, j).exists()
        ]

    def _attributes(self) -> dict[str, Any]:
        manifest = self.store.manifest
        return {
            "symmetric": self.symmetric,
            "name": self.name,
            "kernel": manifest.kernel,
            "version": manifest.version,
        }

    def extend(
        self,
        rows: Any,
        kernel: Callable[..., Any] | None = None,
        executor: Any = None,
        workers_write: bool | None = None,
        progress: bool = True,
    ) -> "StoredMatrix":
        """The same kernel with more inputs at the end of x1, and of x2 if that is x1;
        only what is new is computed.

        All kernels of the store are extended. After an interrupt, ``resume_matrix``
        goes on.

        Args:
            rows: inputs ``[k, ...]`` of the dtype and shape of x1.
            kernel, executor, workers_write, progress: as in ``resume_matrix``.

        Returns:
            The longer matrix; this object stays as it is.
        """
        check_inputs(rows, None)
        rows, manifest = inputs_as_numpy("rows", rows), self.store.manifest
        want = manifest.input_dtype, manifest.input_shape
        if (rows.dtype.str, rows.shape[1:]) != want:
            raise ValueError(
                f"rows has shape {rows.shape} and dtype {rows.dtype}, expected "
                f"{('k', *want[1])} and {np.dtype(want[0])} as the inputs of the store"
            )
        kernel = kernel_of(self.store, kernel)
        store = self.store.extended(rows)
        fill(store, Job(kernel, store=store), executor, workers_write, progress)
        return StoredMatrix(store, self.name)


def kernel_of(store: Store, kernel: Callable[..., Any] | None) -> Callable[..., Any]:
    """The kernel that a store was made with: ``kernel`` if it is the same, or made
    again from the description in the store if it is None."""
    described = store.manifest.kernel
    if kernel is None:
        try:
            return rebuild(described)
        except ValueError as error:
            raise ValueError(
                f"the store {str(store.folder)!r} cannot make its kernel again: "
                f"{error}; pass the kernel it was made with as kernel"
            ) from error
    found = differences(describe(kernel), described, "kernel")
    if found:
        raise StoreMismatchError(
            f"kernel is not the one that the store {str(store.folder)!r} was made "
            f"with: {'; '.join(found)}"
        )
    return kernel
