r"""Convolutions of NumPy images by three taps along a row, with half of the products.

Four neighbouring outputs of a filter of three taps need twelve products, and six by
Winograd's minimal filtering,

.. math:: y = A^T [(G g) \odot (B^T d)],

with d the six pixels that they see and g the taps. Here an entry of d is the features
of a pixel and one of g a matrix, so that a product is a matrix product. The rows of a
filter are added up in place by BLAS.

Reference: Lavin & Gray 2016 (1509.09308), section 4.3, for F(4, 3).
"""

import numpy as np

from .numpy_rows import GEMM
from .windows import Window

OUTPUTS, INPUTS, TAPS = 4, 6, 3
# G, from the taps to the matrices that are multiplied with.
FILTER = np.asarray(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
# With fewer features, the transforms take longer than the products that they save.
LEAST = 32
# Transformed features of the images that are worked on together: they stay in a cache.
ENTRIES = 2**19


def applies(x: object, window: Window | None) -> bool:
    """Whether a convolution is faster here: of NumPy images with many features, for
    windows of three columns and stride 1."""
    return (
        isinstance(x, np.ndarray)
        and x.dtype in GEMM
        and x.shape[-1] >= LEAST
        and window is not None
        and len(window.shape) == 2
        and window.shape[1] == TAPS
        and window.strides == (1, 1)
        and window.extent(x.shape[1:3])[1] >= OUTPUTS - 1
    )


def transformed(taps: list[np.ndarray]) -> np.ndarray:
    """G g of every row of a filter: matrices ``[a, m]`` as ``[6, rows, a, m]``."""
    rows = np.asarray(taps).reshape(-1, TAPS, *taps[0].shape)
    return np.einsum("ik,rkam->iram", FILTER, rows)


def convolve(x: np.ndarray, window: Window, filters: np.ndarray) -> np.ndarray:
    """The sum over taps of each times its matrix, ``[n, H, W, a] -> [n, H', W', m]``.

    Args:
        x: images.
        window: see ``applies``.
        filters: ``transformed`` matrices in the dtype of x.
    """
    height, width = window.extent(x.shape[1:3])
    tiles = -(-width // OUTPUTS)
    padded = window.padded(x)
    missing = OUTPUTS * tiles + TAPS - 1 - padded.shape[2]
    padded = np.pad(padded, ((0, 0), (0, 0), (0, missing), (0, 0)))
    out = np.empty((len(x), height, OUTPUTS * tiles, filters.shape[-1]), x.dtype)
    step = max(1, ENTRIES // (INPUTS * padded.shape[1] * tiles * x.shape[-1]))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        products = _products(_spread(padded[part], tiles), filters)
        _gather(products[:, :, :height], out[part])
    return out[:, :, :width]


def _spread(padded: np.ndarray, tiles: int) -> np.ndarray:
    """B^T d for every four windows, ``[n, H, W, a] -> [6, n, H, tiles, a]``."""
    stop = OUTPUTS * (tiles - 1) + 1
    d = [padded[:, :, k : k + stop : OUTPUTS] for k in range(INPUTS)]
    out = np.empty((INPUTS, *d[0].shape), padded.dtype)
    near, far, half = np.empty((3, *d[0].shape), padded.dtype)
    for y, (a, b, c) in ((out[0], d[0::2]), (out[5], d[1::2])):
        np.multiply(a, 4, out=y)
        np.multiply(b, 5, out=half)
        y -= half
        y += c
    for (plus, minus), k in ((out[1:3], 4), (out[3:5], 1)):
        # d_4 - k d_2 and d_3 - k d_1: even and odd in the points +-1, or +-2.
        for y, a, b in ((near, d[4], d[2]), (far, d[3], d[1])):
            np.multiply(b, -k, out=y)
            y += a
        if k == 1:
            far *= 2
        np.add(near, far, out=plus)
        np.subtract(near, far, out=minus)
    return out


def _products(spread: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """``[6, n, H, tiles, a] -> [6, n, H, tiles, m]``. A row of windows sees the rows
    below from an offset on; what lies across the edge of an image is left out later."""
    gemm, tiles = GEMM[spread.dtype], spread.shape[3]
    out = np.empty((*spread.shape[:-1], filters.shape[-1]), spread.dtype)
    for x, taps, y in zip(spread, filters, out, strict=True):
        flat, sums = (z.reshape(-1, z.shape[-1]) for z in (x, y))
        length = len(flat) - (len(taps) - 1) * tiles
        for row, w in enumerate(taps):
            run = flat[row * tiles : row * tiles + length]
            # BLAS knows the transposes: in its order they are contiguous.
            gemm(1.0, w.T, run.T, float(row > 0), sums[:length].T, overwrite_c=True)
    return out


def _gather(m: np.ndarray, out: np.ndarray) -> None:
    """A^T m, ``[6, n, H', tiles, m] -> [n, H', 4 tiles, m]``."""
    y = [out[:, :, k::OUTPUTS] for k in range(OUTPUTS)]
    even, odd = m[1] + m[2], m[1] - m[2]
    far_even, far_odd = m[3] + m[4], m[3] - m[4]
    np.add(m[0], even, out=y[0])
    y[0] += far_even
    for k, (near, far) in ((1, (odd, far_odd)), (2, (even, far_even))):
        far *= 2 * k
        np.add(near, far, out=y[k])
    far_odd *= 4
    np.add(odd, far_odd, out=y[3])
    y[3] += m[5]
