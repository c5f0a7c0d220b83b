"""The matrices and targets that regression takes, checked and in float64."""

from typing import Any

import numpy as np

from ..kernels.matrix import TiledMatrix
from ..kernels.matrix.host import as_numpy

# Entries of a symmetric matrix may differ by this much of the largest one: the
# rounding errors of a float32 kernel.
ASYMMETRY = 1e-5
# LAPACK's eigendecomposition wants room for 1 + 6 n + 2 n^2 numbers, and counts them in
# 32-bit integers: beyond this many rows they overflow.
MAX_ROWS = 32_766


def symmetric_matrix(name: str, k: Any) -> np.ndarray | TiledMatrix:
    """``k`` as a symmetric float64 matrix ``[n, n]`` of any size, or as the symmetric
    tiled matrix that it is."""
    if not isinstance(k, TiledMatrix):
        return _symmetric(name, k)
    if not k.symmetric:
        raise ValueError(
            f"{name} is a tiled matrix {list(k.shape)} between two sets of inputs, "
            "expected the symmetric one of one set: compute it with x2=None"
        )
    return k


def square_matrix(name: str, k: Any) -> np.ndarray:
    """``k`` as a symmetric float64 matrix ``[n, n]`` that LAPACK can take whole."""
    rows = len(k) if hasattr(k, "__len__") else 0
    if rows > MAX_ROWS:
        raise ValueError(
            f"{name} has {rows} rows, expected at most {MAX_ROWS}: LAPACK's 32-bit "
            "integers are not safe beyond; use Posterior or solve, which factorise in "
            "blocks, or a subset of the training set"
        )
    return _symmetric(name, k)


def _symmetric(name: str, k: Any) -> np.ndarray:
    k = matrix(name, k)
    if k.shape[0] != k.shape[1]:
        raise ValueError(
            f"{name} has shape {k.shape}, expected [n, n]: the kernel between all "
            "pairs of training inputs"
        )
    # By rows, so that no second matrix is in memory.
    gap = max(float(np.abs(k[i] - k[:, i]).max()) for i in range(len(k)))
    if gap > ASYMMETRY * max(k.max(), -k.min()):
        raise ValueError(
            f"{name} is not symmetric, entries differ by up to {gap:.3g}; compute it "
            f"with x2=None, or pass ({name} + {name}.T) / 2"
        )
    return k


def matrix(
    name: str, k: Any, shape: tuple[int | None, int | None] = (None, None)
) -> np.ndarray:
    """``k`` as a finite float64 matrix, its shape checked where ``shape`` says so."""
    k = _floating(name, k)
    fits = k.ndim == 2 and all(
        want in (None, have) for want, have in zip(shape, k.shape, strict=True)
    )
    if not fits or 0 in k.shape:
        wanted = ", ".join("m" if s is None else str(s) for s in shape)
        raise ValueError(f"{name} has shape {k.shape}, expected [{wanted}], not empty")
    return k


def targets(y: Any, n: int) -> tuple[np.ndarray, bool]:
    """``y`` as float64 ``[n, k]``, and whether it came as a vector ``[n]``."""
    y = _floating("y", y)
    if y.ndim not in (1, 2) or y.shape[0] != n or y.size == 0:
        raise ValueError(
            f"y has shape {y.shape}, expected [{n}] or [{n}, outputs], one row per "
            "training input"
        )
    return (y[:, None], True) if y.ndim == 1 else (y, False)


def vector(name: str, v: Any, n: int) -> np.ndarray:
    """``v`` as finite float64 ``[n]``."""
    v = _floating(name, v)
    if v.shape != (n,):
        raise ValueError(f"{name} has shape {v.shape}, expected [{n}]")
    return v


def unit_roundoff(k: Any) -> float:
    """The relative rounding error of the entries of ``k``, from the dtype they have."""
    # A tiled matrix would be read for that, or computed.
    dtype = k.dtype if isinstance(k, TiledMatrix) else as_numpy("k", k).dtype
    return float(np.finfo(dtype).eps)


def _floating(name: str, a: Any) -> np.ndarray:
    a = as_numpy(name, a)
    if not np.issubdtype(a.dtype, np.floating):
        remedy = "; class labels become targets by centred_one_hot" * (name == "y")
        raise TypeError(
            f"{name} has dtype {a.dtype}, expected float32 or float64; convert it "
            f"first, e.g. {name}.astype('float64'){remedy}"
        )
    if not np.isfinite(a).all():
        raise ValueError(
            f"{name} holds {np.sum(~np.isfinite(a))} entries that are NaN or infinite, "
            "expected finite numbers"
        )
    return a.astype(np.float64, copy=False)
