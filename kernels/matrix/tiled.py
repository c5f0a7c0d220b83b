"""A matrix that exists tile by tile: sliced, multiplied and read like an array."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Key = Any


class TiledMatrix(ABC):
    """A matrix ``[n, m]`` in tiles; no more of it is in memory than is asked for.

    It is indexed with integers, slices, arrays of integers and masks on either axis,
    multiplied with ``@`` from both sides, and becomes an array by ``to_numpy()`` or
    ``numpy.asarray``. A symmetric matrix holds the tiles on and above the diagonal.

    Attributes:
        row_edges, column_edges: tile (i, j) has rows ``row_edges[i]`` up to
            ``row_edges[i + 1]``, and columns likewise.
        symmetric: whether tiles below the diagonal mirror those above it.
        dtype: of the entries.
    """

    row_edges: np.ndarray
    column_edges: np.ndarray
    symmetric: bool
    dtype: np.dtype
    ndim = 2
    # NumPy's operators leave `array @ matrix` to this class.
    __array_ufunc__ = None

    @abstractmethod
    def tile(self, i: int, j: int) -> np.ndarray:
        """Tile (i, j) as it is held, i <= j if symmetric; read-only."""

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.row_edges[-1]), int(self.column_edges[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of the whole matrix, as an array."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        half = ", symmetric" * self.symmetric
        return f"<{type(self).__name__} {list(self.shape)} {self.dtype}{half}>"

    def block(self, i: int, j: int) -> np.ndarray:
        """The entries of tile (i, j), mirrored where only (j, i) is held."""
        return self.tile(j, i).T if self.symmetric and i > j else self.tile(i, j)

    def tiles(self) -> Iterator[tuple[int, int]]:
        """(i, j) of every tile that is held."""
        for i in range(len(self.row_edges) - 1):
            for j in range(i if self.symmetric else 0, len(self.column_edges) - 1):
                yield i, j

    def rows(self, i: int) -> slice:
        """The rows of tiles (i, ...)."""
        return slice(int(self.row_edges[i]), int(self.row_edges[i + 1]))

    def columns(self, j: int) -> slice:
        """The columns of tiles (..., j)."""
        return slice(int(self.column_edges[j]), int(self.column_edges[j + 1]))

    def __getitem__(self, key: Key) -> Any:
        """Entries ``[rows]`` or ``[rows, columns]``, as the outer product of both
        (``numpy.ix_``)."""
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > 2 or any(k is Ellipsis or k is None for k in keys):
            raise IndexError(f"index is {key!r}, expected rows, or rows and columns")
        row, column = (*keys, slice(None))[:2]
        rows = _indices("rows", row, self.shape[0])
        columns = _indices("columns", column, self.shape[1])
        out = self._gather(np.atleast_1d(rows), np.atleast_1d(columns))
        return out.reshape(rows.shape + columns.shape)[()]

    def _gather(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), len(columns)), self.dtype)
        across = list(_by_tile(columns, self.column_edges))
        for i, places, inside in _by_tile(rows, self.row_edges):
            for j, column_places, column_inside in across:
                part = self.block(i, j)[inside][:, column_inside]
                out[_outer(places, column_places)] = part
        return out

    def diagonal(self) -> np.ndarray:
        """The entries (k, k), ``[min(n, m)]``."""
        k = np.arange(min(self.shape))
        i = np.searchsorted(self.row_edges, k, "right") - 1
        j = np.searchsorted(self.column_edges, k, "right") - 1
        out = np.empty(len(k), self.dtype)
        for a, b in sorted(set(zip(i.tolist(), j.tolist(), strict=True))):
            own = (i == a) & (j == b)
            block = self.block(a, b)
            out[own] = block[k[own] - self.row_edges[a], k[own] - self.column_edges[b]]
        return out

    def __matmul__(self, other: Any) -> np.ndarray:
        """The product with ``[m]`` or ``[m, k]``; every tile is read once."""
        return self._product(other, transposed=False)

    def __rmatmul__(self, other: Any) -> np.ndarray:
        """``other @ self`` for ``other`` of shape ``[n]`` or ``[k, n]``."""
        return self._product(np.asarray(other).T, transposed=True).T

    def _product(self, other: Any, transposed: bool) -> np.ndarray:
        v = np.asarray(other)
        n, m = self.shape[::-1] if transposed else self.shape
        if v.ndim not in (1, 2) or v.shape[0] != m:
            raise ValueError(
                f"a factor has shape {v.shape}, expected [{m}] or [{m}, k]"
            )
        out = np.zeros((n, *v.shape[1:]), np.result_type(self.dtype, v.dtype))
        for i, j in self.tiles():
            k, rows, columns = self.tile(i, j), self.rows(i), self.columns(j)
            mirrored = self.symmetric and i != j
            if not transposed or mirrored:
                out[rows] += k @ v[columns]
            if transposed or mirrored:
                out[columns] += k.T @ v[rows]
        return out

    def to_numpy(self) -> np.ndarray:
        """The whole matrix in memory, ``[n, m]``."""
        out = np.empty(self.shape, self.dtype)
        for i, j in self.tiles():
            k, rows, columns = self.tile(i, j), self.rows(i), self.columns(j)
            out[rows, columns] = k
            if self.symmetric and i != j:
                out[columns, rows] = k.T
        return out

    def to_zarr(self, path: Any) -> None:
        """Write the whole matrix, both halves, as a Zarr array at ``path``, which must
        not be there; needs ``pip install 'tangency[zarr]'``."""
        try:
            from .zarr import write_zarr
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "to_zarr needs zarr: pip install 'tangency[zarr]'", name=error.name
            ) from error
        write_zarr(self, Path(path), self._attributes())

    def _attributes(self) -> dict[str, Any]:
        """What a copy should say of the matrix, in words that fit into JSON."""
        return {"symmetric": self.symmetric}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a tiled matrix becomes an array only by copying")
        return self.to_numpy().astype(dtype or self.dtype, copy=False)


def _indices(axis: str, key: Any, n: int) -> np.ndarray:
    try:
        return np.arange(n)[key]
    except IndexError as error:
        raise IndexError(f"{axis}: {error}") from None


def _by_tile(indices: np.ndarray, edges: np.ndarray) -> Iterator[tuple[int, Any, Any]]:
    """For every tile that is met: its number, places in the result, places in it."""
    numbers = np.searchsorted(edges, indices, "right") - 1
    for number in np.unique(numbers).tolist():
        places = np.flatnonzero(numbers == number)
        inside = indices[places] - edges[number]
        yield number, _as_slice(places), _as_slice(inside)


def _as_slice(places: np.ndarray) -> Any:
    """Neighbours as a slice, which reads no more than it must."""
    if np.all(np.diff(places) == 1):
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def _outer(rows: Any, columns: Any) -> Any:
    if isinstance(rows, np.ndarray) and isinstance(columns, np.ndarray):
        return rows[:, None], columns
    return rows, columns
