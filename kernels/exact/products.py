"""Inner products of all pairs of rows, in a way that large arrays survive."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

Array = Any

# NumPy gives a @ a.T to BLAS as one product (syrk), for which each thread of OpenBLAS
# packs its share of the rows into a buffer of fixed size, unchecked: 27,000 rows of 512
# numbers end the process. Panels of rows are ordinary products (gemm), but for their
# own squares, which are small.
PANEL = 8192


def inner_products(left: Array, right: Array) -> Array:
    """left right^T, ``[..., n, d], [..., m, d] -> [..., n, m]``."""
    if left is right and is_numpy_array(left) and left.shape[-2] > PANEL:
        return _by_panels(left)
    return left @ array_namespace(left, right).matrix_transpose(right)


def _by_panels(x: np.ndarray) -> np.ndarray:
    n, turned = x.shape[-2], x.swapaxes(-1, -2)
    out = np.empty((*x.shape[:-1], n), x.dtype)
    for start in range(0, n, PANEL):
        rows, rest = slice(start, start + PANEL), slice(start + PANEL, n)
        own = x[..., rows, :]
        out[..., rows, rows] = own @ turned[..., rows]
        across = own @ turned[..., rest]
        out[..., rows, rest] = across
        out[..., rest, rows] = across.swapaxes(-1, -2)
    return out
