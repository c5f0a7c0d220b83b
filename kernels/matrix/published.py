"""Kernel matrices in the layout in which Google published its Myrtle kernels.

A folder without a manifest, with NumPy files ``ntk-i-j`` and ``nngp-i-j`` without an
ending: block (i, j) of a symmetric matrix, i <= j, 5000 rows each
(Adlam et al. 2021, 2010.07355).
"""

import re
from pathlib import Path

import numpy as np

from .tiled import TiledMatrix

FILE = re.compile(r"(?P<name>[a-z]+)-(?P<i>\d+)-(?P<j>\d+)(\.npy)?")


class PublishedMatrix(TiledMatrix):
    """A symmetric matrix of published blocks, mapped into memory one by one.

    Args:
        folder: where the files are.
        name: "nngp" or "ntk".

    Raises:
        ValueError: a block is missing, or the blocks do not fit together.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.symmetric = name, True
        self._files = _found(folder)[name]
        count = 1 + max(max(place) for place in self._files)
        for i in range(count):
            for j in range(i, count):
                if (i, j) not in self._files:
                    raise ValueError(
                        f"{str(folder)!r} holds no block {name}-{i}-{j}; expected "
                        f"all blocks i <= j up to {count - 1}"
                    )
        first = [self._load(i, i) for i in range(count)]
        self.dtype = first[0].dtype
        sizes = [len(block) for block in first]
        self.row_edges = self.column_edges = np.cumsum([0, *sizes])

    def tile(self, i: int, j: int) -> np.ndarray:
        block = self._load(i, j)
        sizes = np.diff(self.row_edges)
        if block.shape != (sizes[i], sizes[j]) or block.dtype != self.dtype:
            raise ValueError(
                f"{self._files[i, j]} holds {block.shape} {block.dtype}, expected "
                f"{(int(sizes[i]), int(sizes[j]))} {self.dtype}"
            )
        return block

    def _load(self, i: int, j: int) -> np.ndarray:
        return np.load(self._files[i, j], "r", allow_pickle=False)


def published_names(folder: Path) -> tuple[str, ...]:
    """The kernels that ``folder`` holds in the published layout, perhaps none."""
    return tuple(sorted(_found(folder)))


def _found(folder: Path) -> dict[str, dict[tuple[int, int], Path]]:
    files: dict[str, dict[tuple[int, int], Path]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = FILE.fullmatch(path.name)
        if match and match["name"] in ("nngp", "ntk"):
            place = int(match["i"]), int(match["j"])
            files.setdefault(match["name"], {})[place] = path
    return files
