"""What a tile store is of: kernel, inputs, dtype and grid, in one JSON file."""

import json
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .description import differences
from .host import as_numpy
from .tile_file import digest

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The identity of a store.

    Args:
        kernel: description of the kernel (``describe``).
        names: the kernels that are kept, of "nngp" and "ntk".
        dtype: of the entries.
        symmetric: whether it is the matrix of one set of inputs.
        row_edges, column_edges: where tiles begin, and the end.
        input_dtype, input_shape: dtype and shape of one input.
        rows, columns: a digest of the inputs of every block.
        x1, x2: files with the inputs, in order; x2 is empty if symmetric.
        version: of the library that wrote it.
        format: of the store.
    """

    kernel: Any
    names: tuple[str, ...]
    dtype: str
    symmetric: bool
    row_edges: tuple[int, ...]
    column_edges: tuple[int, ...]
    input_dtype: str
    input_shape: tuple[int, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    x1: tuple[str, ...] = ()
    x2: tuple[str, ...] = ()
    version: str = ""
    format: int = FORMAT

    @property
    def shape(self) -> tuple[int, int]:
        return self.row_edges[-1], self.column_edges[-1]

    def tag(self, name: str, i: int, j: int) -> bytes:
        """What tile (i, j) of a kernel is of."""
        identity = json.dumps([self.kernel, name, self.dtype], sort_keys=True)
        return digest(
            identity.encode(), self.rows[i].encode(), self.columns[j].encode()
        )

    def differs(self, wanted: "Manifest") -> list[str]:
        """How the matrix that is wanted differs from this one, in phrases."""
        found = differences(wanted.kernel, self.kernel, "kernel")
        for key, word in (
            ("symmetric", "the matrix being symmetric (x2=None)"),
            ("input_dtype", "dtype of the inputs"),
            ("input_shape", "shape of one input"),
            ("shape", "shape"),
        ):
            here, there = getattr(wanted, key), getattr(self, key)
            if here != there:
                found.append(f"{word} is {here}, not {there}")
        missing = [name for name in wanted.names if name not in self.names]
        if missing:
            found.append(f"get asks for {missing}, not {list(self.names)}")
        if not found:
            for axis, key in (("x1", "rows"), ("x2", "columns")):
                changed = self._changed(wanted, key)
                if changed and not (self.symmetric and axis == "x2"):
                    found.append(f"{axis} has other numbers in rows {changed}")
        return found

    def _changed(self, wanted: "Manifest", key: str) -> str:
        edges = self.row_edges if key == "rows" else self.column_edges
        pairs = zip(getattr(self, key), getattr(wanted, key), strict=True)
        spans = [
            f"{a}:{b}"
            for a, b, (own, other) in zip(edges[:-1], edges[1:], pairs, strict=True)
            if own != other
        ]
        return ", ".join(spans[:3]) + ", ..." * (len(spans) > 3)

    def extended(self, x: np.ndarray, file: str) -> "Manifest":
        """The manifest of the matrix with the rows ``x`` at its end."""
        sizes = np.diff(self.row_edges)
        count = -(-len(x) // int(sizes.max()))
        n = self.row_edges[-1]
        edges = tuple(n + len(x) * k // count for k in range(1, count + 1))
        row_edges = self.row_edges + edges
        rows = self.rows + fingerprints(x, [0, *(e - n for e in edges)])
        if self.symmetric:
            return replace(
                self,
                row_edges=row_edges,
                column_edges=row_edges,
                rows=rows,
                columns=rows,
                x1=(*self.x1, file),
            )
        return replace(self, row_edges=row_edges, rows=rows, x1=(*self.x1, file))

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest in ``folder``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it cannot be understood.
        """
        path = folder / NAME
        try:
            entries = json.loads(path.read_bytes())
            known = {k: _tuples(v, k) for k, v in entries.items()}
            manifest = cls(**known)
            if manifest.format != FORMAT:
                raise ValueError(f"it has format {manifest.format}, expected {FORMAT}")
            np.dtype(manifest.dtype)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no manifest of a tile store: {error}; choose another path"
            ) from error
        return manifest


def fingerprints(x: np.ndarray, edges: Any) -> tuple[str, ...]:
    """A digest of dtype, shape and numbers of every block of rows."""
    kind = f"{x.dtype.str} {x.shape[1:]}".encode()
    return tuple(
        digest(kind, np.ascontiguousarray(x[a:b]).reshape(-1).view(np.uint8)).hex()
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    )


def library_version() -> str:
    try:
        return metadata.version("tangency")
    except metadata.PackageNotFoundError:
        return "unknown"


def inputs_as_numpy(name: str, x: Any) -> np.ndarray:
    """Inputs in host memory, with one dtype per meaning: little-endian."""
    x = as_numpy(name, x)
    return x.astype(x.dtype.newbyteorder("<"), copy=False)


def _tuples(value: Any, key: str) -> Any:
    return tuple(value) if isinstance(value, list) and key != "kernel" else value
