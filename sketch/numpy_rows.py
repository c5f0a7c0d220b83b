"""Convolutions of NumPy images as products of contiguous rows, without a copy of a tap.

The pixels of all padded images are the rows of one matrix. A tap sees them from an
offset on: the same run of rows for every window, with some windows that lie across an
edge and are left out of the result. BLAS adds the taps up in place.
"""

import numpy as np
from scipy.linalg.blas import dgemm, sgemm

from .windows import Window

GEMM = {np.dtype(np.float32): sgemm, np.dtype(np.float64): dgemm}


def applies(x: object, window: Window | None) -> bool:
    """Whether ``Rows`` can be made: of real NumPy images, for windows of stride 1."""
    return (
        isinstance(x, np.ndarray)
        and x.dtype in GEMM
        and window is not None
        and all(stride == 1 for stride in window.strides)
    )


class Rows:
    """The taps of a window as runs of rows.

    Args:
        x: ``[n, *S, a]``.
        window: with strides of 1.
    """

    def __init__(self, x: np.ndarray, window: Window) -> None:
        padded = np.ascontiguousarray(window.padded(x))
        self.shape, self.window = padded.shape[:-1], window
        self.extent = window.extent(x.shape[1:-1])
        self.rows = padded.reshape(-1, x.shape[-1])
        self.length = len(self.rows) - self._offset(window.taps - 1)

    def total(self, weights: list[np.ndarray]) -> np.ndarray:
        """The sum over taps of each times its matrix ``[a, m]``, ``[n, *S', m]``.

        The result is a view with gaps.
        """
        out = np.empty((len(self.rows), weights[0].shape[1]), dtype=self.rows.dtype)
        # Rows past the last window are not computed.
        out[self.length :] = 0
        # BLAS knows the transposes: in its order they are contiguous.
        sums = out[: self.length].T
        gemm = GEMM[self.rows.dtype]
        for tap, w in enumerate(weights):
            start = self._offset(tap)
            x = self.rows[start : start + self.length]
            gemm(1.0, w.T, x.T, float(tap > 0), sums, overwrite_c=True)
        inside = tuple(slice(size) for size in self.extent)
        return out.reshape(*self.shape, -1)[(slice(None), *inside)]

    def _offset(self, tap: int) -> int:
        at = np.unravel_index(tap, self.window.shape)
        return int(np.ravel_multi_index(at, self.shape[1:]))
