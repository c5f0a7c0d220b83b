"""Kernel matrices as Zarr arrays, for the tools that read them."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .files import temporary_beside


def write_zarr(k: Any, path: Path, attributes: dict[str, Any]) -> None:
    """Write the whole matrix as one Zarr array, which appears once it is complete.

    Zarr wants chunks of one size, where tiles differ by a row: a chunk is as large as
    the largest tile. No more than a chunk is in memory.

    Args:
        k: the ``TiledMatrix``.
        path: of the new array.
        attributes: that it carries.

    Raises:
        FileExistsError: there is something at ``path``.
    """
    if path.exists():
        raise FileExistsError(f"path: {str(path)!r} is there; choose another name")
    chunks = [int(np.diff(edges).max()) for edges in (k.row_edges, k.column_edges)]
    partial = temporary_beside(path)
    try:
        array = zarr.create_array(
            str(partial),
            shape=k.shape,
            chunks=tuple(chunks),
            dtype=k.dtype,
            attributes=attributes,
        )
        for i in range(0, k.shape[0], chunks[0]):
            for j in range(0, k.shape[1], chunks[1]):
                rows, columns = slice(i, i + chunks[0]), slice(j, j + chunks[1])
                array[rows, columns] = k[rows, columns]
        os.rename(partial, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"path: {str(path)!r} could not be written: {error.strerror or error}; "
            "make room or give access, then run the same again",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
