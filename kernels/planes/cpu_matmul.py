"""Matrix products in the calling thread.

The BLAS behind NumPy brings threads of its own, which go on spinning for milliseconds
after a product and take the cores from whatever is compiled here.
"""

import numpy as np

from .cpu_lanes import LANES, fma, load, outer, splat, store

# Columns that are computed together, and terms that are added before the sum is
# written: 128 x 32 floats are half of a 32 KB cache.
PANEL, CHUNK = 2 * LANES, 128


def packed(B: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """B ``[k, n]`` in panels ``[n / PANEL, k, PANEL]``, its last columns zeros."""
    k, n = B.shape
    panels = -(-n // PANEL)
    out = np.zeros((panels, k, PANEL), dtype)
    _pack(out.reshape(-1), B)
    return out


@outer
def _pack(out, B):
    k, n = B.shape
    size = k * PANEL
    if B.strides[0] > B.strides[1]:
        for row in range(k):
            for column in range(n):
                at = column // PANEL * size + row * PANEL + column % PANEL
                out[at] = B[row, column]
    else:
        for column in range(n):
            at = column // PANEL * size + column % PANEL
            for row in range(k):
                out[at + row * PANEL] = B[row, column]


@outer
def add_product(C, A, B, first, last):
    """Add A B to rows first, ..., last - 1 of C.

    Args:
        C: ``[m, panels PANEL]``, contiguous; rounded to its dtype after every CHUNK.
        A: ``[m, k]``, any strides and any floating dtype.
        B: ``packed`` columns, in the dtype of C.
    """
    panels, k = B.shape[0], B.shape[1]
    flat, terms, width = C.reshape(C.size), B.reshape(B.size), C.shape[1]
    for panel in range(panels):
        for start in range(0, k, CHUNK):
            stop = min(start + CHUNK, k)
            base = panel * k * PANEL
            i = first
            while i + 4 <= last:
                _four_rows(flat, A, terms, i, panel * PANEL, width, base, start, stop)
                i += 4
            while i < last:
                _one_row(flat, A, terms, i, panel * PANEL, width, base, start, stop)
                i += 1


@outer
def _four_rows(C, A, B, i, j, width, base, start, stop):
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = splat(C, 0.0)
    for k in range(start, stop):
        at = base + k * PANEL
        b0, b1 = load(B, at), load(B, at + LANES)
        a0, a1 = splat(C, A[i, k]), splat(C, A[i + 1, k])
        a2, a3 = splat(C, A[i + 2, k]), splat(C, A[i + 3, k])
        c00, c01 = fma(a0, b0, c00), fma(a0, b1, c01)
        c10, c11 = fma(a1, b0, c10), fma(a1, b1, c11)
        c20, c21 = fma(a2, b0, c20), fma(a2, b1, c21)
        c30, c31 = fma(a3, b0, c30), fma(a3, b1, c31)
    at = i * width + j
    _add(C, at, c00, c01)
    _add(C, at + width, c10, c11)
    _add(C, at + 2 * width, c20, c21)
    _add(C, at + 3 * width, c30, c31)


@outer
def _one_row(C, A, B, i, j, width, base, start, stop):
    c0 = c1 = splat(C, 0.0)
    for k in range(start, stop):
        at = base + k * PANEL
        a = splat(C, A[i, k])
        c0, c1 = fma(a, load(B, at), c0), fma(a, load(B, at + LANES), c1)
    _add(C, i * width + j, c0, c1)


@outer
def _add(C, at, c0, c1):
    store(C, at, load(C, at) + c0)
    store(C, at + LANES, load(C, at + LANES) + c1)
