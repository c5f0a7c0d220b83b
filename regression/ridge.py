"""What is added to the diagonal of a kernel matrix."""

from typing import Any

import numpy as np

RIDGE_SCALES = ("trace", "absolute")


def diagonal_shift(k: Any, ridge: Any, ridge_scale: str) -> float:
    r"""The number lambda in K + lambda I.

    Args:
        k: the kernel matrix ``[n, n]``.
        ridge: a finite number >= 0.
        ridge_scale: "trace" for lambda = ridge tr(K) / n, which does not change when
            the kernel is scaled; "absolute" for lambda = ridge.
    """
    return checked_ridge(ridge) * ridge_unit(k, ridge_scale)


def ridge_unit(k: Any, ridge_scale: str) -> float:
    """What a ridge of 1 adds to the diagonal of ``k``."""
    if ridge_scale not in RIDGE_SCALES:
        raise ValueError(
            f"ridge_scale is {ridge_scale!r}, expected 'trace' (a ridge in units of "
            "the mean diagonal) or 'absolute'"
        )
    return float(np.mean(k.diagonal())) if ridge_scale == "trace" else 1.0


def checked_ridge(ridge: Any) -> float:
    """``ridge`` as a float >= 0, or an error."""
    if isinstance(ridge, str) or not np.isscalar(ridge):
        raise TypeError(f"ridge is {ridge!r}, expected a number >= 0")
    if not 0 <= ridge < float("inf"):
        raise ValueError(f"ridge is {ridge!r}, expected a finite number >= 0")
    return float(ridge)
