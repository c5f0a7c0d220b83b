"""How a kernel matrix is cut into tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from ..layers.base import Layer
from ..layers.needs import needs_pairs
from ..planes import NotPlanes, cost, lower

# Covariances per tile and temporary array: two megabytes in float64, which a core's
# cache can hold. Larger tiles are slower, smaller ones waste time between calls.
COVARIANCES = 2**18
# A tile that is written, or sent to another process, should take about this long, and
# be no larger than 32 megabytes in float64.
SECONDS = 10.0
# Entry-layers per second of one core, of the plane engine and of everything else: the
# lines of Myrtle-5 at 32 pixels in benchmarks/results/cntk.jsonl, rounded.
FUSED, UNFUSED = 1e9, 5e6
LARGEST = 2048
# Rows of tiles that a matrix has at least, so that workers share it evenly; but cheap
# tiles are not cut below so many rows for that.
PARTS, SMALLEST = 8, 64
# Rows of tiles at most: a folder holds a million files, not a billion.
FILES = 1000


@dataclass(frozen=True)
class Grid:
    """Rows and columns of a matrix ``[n, m]``, cut into blocks of nearly equal size.

    Args:
        rows, columns: number of rows and columns.
        tile: largest number of rows and columns of a tile.
        symmetric: whether the tiles below the diagonal mirror those above it.

    >>> [block.stop - block.start for block in Grid(101, 101, 50).row_blocks]
    [33, 34, 34]
    """

    rows: int
    columns: int
    tile: int
    symmetric: bool = False

    @property
    def row_blocks(self) -> list[slice]:
        return _blocks(self.rows, self.tile)

    @property
    def column_blocks(self) -> list[slice]:
        return _blocks(self.columns, self.tile)

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """The tiles to compute: without those below the diagonal if symmetric."""
        for i, rows in enumerate(self.row_blocks):
            for columns in self.column_blocks[i if self.symmetric else 0 :]:
                yield rows, columns

    @property
    def pairs(self) -> int:
        """Number of entries in all tiles to compute."""
        return sum(size(rows) * size(columns) for rows, columns in self)


def size(block: slice) -> int:
    """Number of indices in a block."""
    return block.stop - block.start


def tile_size(kernel: Any, shape: tuple[int, ...]) -> int:
    """Rows of a tile of ``kernel`` on inputs of ``shape``, sized to fit a cache.

    An exact kernel tracks one covariance per pixel, or per pair of pixels if a pool
    mixes them.
    """
    pixels = prod(shape[1:-1])
    net = getattr(kernel, "net", None)
    every_pair = not isinstance(net, Layer) or needs_pairs(net, True)
    return max(1, int(sqrt(COVARIANCES) / (pixels if every_pair else sqrt(pixels))))


def file_tile(
    kernel: Any, shape: tuple[int, ...], columns: int, parts: int = PARTS
) -> int:
    """Rows of a tile that is written or sent: worth its overhead, quickly done.

    Args:
        kernel: whose cost decides, read from its plan where it has one.
        shape: of x1, ``[n, ...]``.
        columns: of the matrix.
        parts: rows of tiles that there should be at least.
    """
    longest = max(shape[0], columns)
    # A tile takes longer than planned only where all of them take months.
    side = max(1, -(-longest // FILES), int(sqrt(SECONDS / _seconds(kernel, shape))))
    return min(side, LARGEST, max(SMALLEST, longest // parts))


def _seconds(kernel: Any, shape: tuple[int, ...]) -> float:
    """About the time of one pair of inputs on one core."""
    net = getattr(kernel, "net", None)
    if isinstance(net, Layer):
        fused = getattr(kernel, "engine", None) in ("auto", "planes")
        try:
            return max(1, cost(lower(net, shape))) / (FUSED if fused else UNFUSED)
        except (NotPlanes, ValueError):
            pass
    # A dozen layers of all pairs of pixels.
    return 12 * prod(shape[1:-1]) ** 2 / UNFUSED


def _blocks(n: int, tile: int) -> list[slice]:
    count = -(-n // tile)
    edges = [n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
