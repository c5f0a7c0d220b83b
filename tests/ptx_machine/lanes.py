"""Instructions in which the lanes of a warp take part together."""

from typing import Any

import numpy as np

WARP = 32
# Of an operand of tf32 the hardware reads as many leading bits.
_TF32 = np.uint32(0xFFFFE000)


def shuffle(kind: str, x: np.ndarray, other: np.ndarray, clamp: np.ndarray) -> Any:
    """The x of another lane of the warp; segments are not used."""
    assert np.all(clamp == 31)
    lanes = np.arange(x.size)
    source = lanes & 31 ^ other if kind == "bfly" else other & 31
    return x[(lanes & ~31) | source]


def redux(kind: str, x: np.ndarray) -> np.ndarray:
    """The sum, or the extreme value, over the lanes of the warp."""
    function = {"add": np.sum, "max": np.max, "min": np.min}[kind]
    return function(x.reshape(-1, WARP), 1).astype(x.dtype).repeat(WARP)


def ldmatrix(shared: Any, address: np.ndarray, count: int) -> list[np.ndarray]:
    """Matrices of 8 rows of 16 bytes: lane l gets four bytes of row l / 4.

    The addresses of the rows of matrix i are those of the lanes 8 i, ..., 8 i + 7.
    """
    address, lane = address.reshape(-1, WARP), np.arange(WARP)
    found = []
    for i in range(count):
        at = address[:, 8 * i + lane // 4] + (4 * (lane % 4)).astype(np.uint32)
        found.append(shared.load(at.reshape(-1), 0, "u4", None, at.size))
    return found


def round_tf32(bits: np.ndarray) -> np.ndarray:
    """The nearest number of tf32, ties away from zero."""
    return (bits + np.uint32(0x1000)) & _TF32


def mma_tf32(a: list, b: list, c: list) -> list[np.ndarray]:
    """A B + C, 16 x 8 x 8, in fragments; products are exact, sums rounded once."""
    A = _matrix(a, (16, 8), [(0, 0), (8, 0), (0, 4), (8, 4)], _TF32)
    B = _matrix(b, (8, 8), [(0, 0), (0, 4)], _TF32)
    C = _pairs(c, (16, 8), np.float32)
    total = A @ B.swapaxes(1, 2) + C
    return _fragments(total.astype(np.float32), 2)


def mma_f64(a: list, b: list, c: list) -> list[np.ndarray]:
    """A B + C, 8 x 8 x 4, in fragments."""
    A, B = (x.view(np.float64).reshape(-1, 8, 4) for x in (a[0], b[0]))
    total = A @ B.swapaxes(1, 2) + _pairs(c, (8, 8), np.float64)
    return _fragments(total, 1)


def _matrix(parts: list, shape: tuple[int, int], corners: list, mask: Any) -> Any:
    """``[warps, *shape]``: lane 4 g + t has the entry (g, t) from every corner."""
    found = np.zeros((parts[0].size // WARP, *shape))
    for part, (row, col) in zip(parts, corners, strict=True):
        values = (part & mask).view(np.float32).reshape(-1, 8, 4)
        found[:, row : row + 8, col : col + 4] = values
    return found


def _pairs(parts: list, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """``[warps, *shape]``: lane 4 g + t has (g, 2 t), (g, 2 t + 1), then 8 below."""
    values = [part.view(dtype).reshape(-1, 8, 4) for part in parts]
    found = np.zeros((len(values[0]), *shape))
    for n, value in enumerate(values):
        found[:, 8 * (n // 2) : 8 * (n // 2) + 8, n % 2 :: 2] = value
    return found


def _fragments(total: np.ndarray, halves: int) -> list[np.ndarray]:
    """The inverse of ``_pairs``."""
    return [
        np.ascontiguousarray(total[:, 8 * half : 8 * half + 8, odd::2]).reshape(-1)
        for half in range(halves)
        for odd in (0, 1)
    ]
