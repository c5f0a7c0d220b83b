"""A kernel matrix on disk: a folder with a manifest, the inputs, and a file per tile.

The truth is in the files: a tile under its name is complete, and says itself what it is
of. So a run may be killed at any moment, several may work on one store at a time, and
what is there is never computed again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .files import created, sweep, written_whole
from .manifest import NAME, Manifest, fingerprints
from .tile_file import digest, fault, map_tile, write_tile
from .tiles import size


class StoreMismatchError(ValueError):
    """A store that is of another kernel or of other inputs than asked for."""


class MissingTileError(ValueError):
    """A tile that was not computed yet, or is not what it should be."""


@dataclass(frozen=True)
class Store:
    """A folder with the tiles of one or more kernels of the same inputs.

    Args:
        folder: where it is.
        manifest: what it is of.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Any) -> "Store":
        """The store in ``path``."""
        # Workers may have been started in another folder.
        folder = Path(path).absolute()
        try:
            return cls(folder, Manifest.read(folder))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(
                f"path: {str(folder)!r} holds no tile store (it has no {NAME}); make "
                "one with compute(..., path=...)"
            ) from None

    @classmethod
    def make(
        cls, path: Any, manifest: Manifest, x1: np.ndarray, x2: np.ndarray | None
    ) -> "Store":
        """A new store, or the one that is there if it is of the same matrix."""
        folder = Path(path).absolute()
        if (folder / NAME).exists():
            return cls.joined(folder, manifest)
        _make_folder(folder)
        sweep(folder)
        manifest = replace(
            manifest,
            x1=(_save_inputs(folder, x1),),
            x2=() if x2 is None else (_save_inputs(folder, x2),),
        )
        if not created(folder / NAME, manifest.to_bytes()):
            return cls.joined(folder, manifest)
        return cls(folder, manifest)

    @classmethod
    def joined(cls, folder: Path, wanted: Manifest) -> "Store":
        """The store in ``folder``, once it is sure to be of the matrix ``wanted``,
        which has the grid of the store if it can have."""
        store = cls.open(folder)
        problems = store.manifest.differs(wanted)
        if problems:
            raise StoreMismatchError(
                f"path: the store {str(folder)!r} is of another matrix: "
                f"{'; '.join(problems)}. Choose another path, or delete the store; "
                "new rows at the end are added by open_matrix(path).extend(rows)"
            )
        sweep(folder)
        return store

    def path(self, name: str, i: int, j: int) -> Path:
        return self.folder / f"{name}-{i}-{j}.npy"

    def rows(self, i: int) -> slice:
        """The rows of tiles (i, ...)."""
        return slice(*self.manifest.row_edges[i : i + 2])

    def columns(self, j: int) -> slice:
        """The columns of tiles (..., j)."""
        return slice(*self.manifest.column_edges[j : j + 2])

    def inputs(self) -> tuple[np.ndarray, np.ndarray | None]:
        """x1 and x2, as they were given."""
        x1 = self._load(self.manifest.x1)
        return x1, self._load(self.manifest.x2) if self.manifest.x2 else None

    def check_inputs(self) -> None:
        """An error if the files with the inputs were changed or damaged."""
        x1, x2 = self.inputs()
        for name, x, edges, expected in (
            ("x1", x1, self.manifest.row_edges, self.manifest.rows),
            ("x2", x2, self.manifest.column_edges, self.manifest.columns),
        ):
            if x is not None and fingerprints(x, edges) != expected:
                raise ValueError(
                    f"{name} in the store {str(self.folder)!r} has other numbers, not "
                    "those of the manifest; delete the store and compute it anew"
                )

    def _load(self, files: tuple[str, ...]) -> np.ndarray:
        parts = []
        for file in files:
            try:
                parts.append(np.load(self.folder / file, "r", allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise ValueError(
                    f"{file} in the store {str(self.folder)!r} cannot be read: "
                    f"{error}; delete the store and compute it anew"
                ) from error
        return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def positions(self) -> Iterator[tuple[int, int]]:
        """(i, j) of every tile: those on and above the diagonal if symmetric."""
        for i in range(len(self.manifest.rows)):
            for j in range(
                i if self.manifest.symmetric else 0, len(self.manifest.columns)
            ):
                yield i, j

    def write(self, name: str, i: int, j: int, k: np.ndarray) -> None:
        """Keep a tile.

        Raises:
            OSError: it could not be written; the store is as it was.
        """
        expected = self._shape(i, j), np.dtype(self.manifest.dtype)
        if (k.shape, k.dtype) != expected:
            raise TypeError(
                f"tile {name}-{i}-{j} came as {k.shape} {k.dtype}, expected "
                f"{expected[0]} {expected[1]}: the dtype of a kernel may not change"
            )
        path = self.path(name, i, j)
        try:
            write_tile(path, k, self.manifest.tag(name, i, j))
        except OSError as error:
            raise OSError(
                error.errno,
                f"tile {name}-{i}-{j} could not be written to {str(self.folder)!r}: "
                f"{error.strerror}; all tiles before it are kept: make room or give "
                "access, then run the same again to go on",
            ) from error

    def read(self, name: str, i: int, j: int) -> np.ndarray:
        """A tile, mapped into memory.

        Raises:
            MissingTileError: it is not there, or not what it should be.
        """
        path = self.path(name, i, j)
        shape, tag = self._shape(i, j), self.manifest.tag(name, i, j)
        try:
            return map_tile(path, shape, np.dtype(self.manifest.dtype), tag)
        except (FileNotFoundError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            rows, columns = self.rows(i), self.columns(j)
            raise MissingTileError(
                f"tile {name}-{i}-{j} of {str(self.folder)!r} (rows {rows.start}:"
                f"{rows.stop}, columns {columns.start}:{columns.stop}) "
                f"{'was not computed yet' if missing else 'is not fit: '}"
                f"{'' if missing else str(error)}; resume_matrix(path) computes it"
            ) from error

    def fault(self, name: str, i: int, j: int) -> str | None:
        """What is wrong with a tile, all of which is read; None if nothing is."""
        return fault(
            self.path(name, i, j),
            self._shape(i, j),
            np.dtype(self.manifest.dtype),
            self.manifest.tag(name, i, j),
        )

    def _shape(self, i: int, j: int) -> tuple[int, int]:
        return size(self.rows(i)), size(self.columns(j))

    def extended(self, x: np.ndarray) -> "Store":
        """The store with more inputs; their tiles are still to be computed."""
        manifest = self.manifest.extended(x, _save_inputs(self.folder, x))
        with written_whole(self.folder / NAME) as file:
            file.write(manifest.to_bytes())
        return Store(self.folder, manifest)


def _make_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"path: there is no folder {str(folder.parent)!r} to make "
            f"{folder.name!r} in; make it first"
        )
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise FileExistsError(
            f"path: {str(folder)!r} is a file, expected a folder or a new name"
        ) from None
    except OSError as error:
        raise OSError(
            error.errno, f"path: {str(folder)!r} cannot be made: {error.strerror}"
        ) from error
    foreign = [
        p.name
        for p in folder.iterdir()
        if not p.name.startswith((".", "inputs-")) and p.name != NAME
    ]
    if foreign:
        raise FileExistsError(
            f"path: the folder {str(folder)!r} holds {foreign[0]!r} and is no tile "
            "store; choose an empty folder or a new name"
        )


def _save_inputs(folder: Path, x: np.ndarray) -> str:
    """Keep inputs under a name made of their content, once."""
    whole = np.ascontiguousarray(x)
    kind = f"{whole.dtype.str} {whole.shape}".encode()
    name = f"inputs-{digest(kind, whole.reshape(-1).view(np.uint8)).hex()}.npy"
    if not (folder / name).exists():
        try:
            with written_whole(folder / name) as file:
                np.save(file, whole, allow_pickle=False)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the inputs could not be written to {str(folder)!r}: "
                f"{error.strerror or error}; make room or give access, then run the "
                "same again",
            ) from error
    return name
