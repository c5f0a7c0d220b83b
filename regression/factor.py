"""The expensive half of regression: one factorisation, for any number of solves."""

from typing import Any

import numpy as np

from .cholesky import Cholesky, factorise
from .tiled_cholesky import LARGEST, TiledCholesky, factorise_tiled


def factor(
    k: Any, shift: float, scratch: Any = None, progress: bool = False
) -> Cholesky | TiledCholesky:
    """The Cholesky factor of K + shift I, whole where it is small, else by panels.

    Args:
        k: a symmetric float64 array, or a tiled matrix, ``[n, n]``; it is not changed.
        shift: what to add to its diagonal, >= 0.
        scratch: a folder for panels; None for memory if k is an array, and the folder
            of temporary files if not.
        progress: whether to show a bar where there are panels.

    Raises:
        NotPositiveDefiniteError: even a jitter of 1e-4 of the mean diagonal was not
            enough.
    """
    if isinstance(k, np.ndarray) and len(k) <= LARGEST and scratch is None:
        return factorise(k, shift)
    return factorise_tiled(k, shift, scratch=scratch, progress=progress)
