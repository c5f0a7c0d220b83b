"""Labels in closed form, for images that stay as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels import compute
from ..kernels.matrix.pull_back import native
from .ridge_loss import ridge_factor

Array = Any
# Singular values below this part of the largest one are taken to be zero.
SMALLEST = 1e-12


def label_solve(
    kernel: Callable[..., Any],
    images: Array,
    x: Array,
    y: np.ndarray,
    ridge: float = 1e-6,
    get: str = "ntk",
    tile: int | None = None,
    executor: Any = None,
    rows: int = 4096,
) -> np.ndarray:
    r"""The labels of a support set with which it predicts a training set best.

    .. math:: y_s = \left( K_{ts} A^{-1} \right)^+ y_t, \qquad
        A = K_{ss} + \lambda \mathrm{tr}(K_{ss})/n \, I

    The training set is taken ``rows`` at a time, and K_ts is reduced to a triangle by
    orthogonal transformations, which do not square its condition number.

    Args:
        kernel: ``kernel(x1, x2, get)``.
        images: the support ``[n, ...]``.
        x: the training set ``[N, ...]``.
        y: its labels ``[N, C]``, such as ``centred_one_hot`` makes.
        ridge: lambda, in units of the mean diagonal of K_ss.
        get, tile, executor: as of ``compute``.
        rows: of the training set that are in memory as kernels.

    Returns:
        y_s, ``[n, C]``.

    Reference: Nguyen et al. 2021 (2011.00050), section 3.2.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> x, y = np.eye(3), np.asarray([[1.0], [-1.0], [0.0]])
    >>> bool(np.allclose(tg.label_solve(kernel, x, x, y, ridge=0.0), y))
    True
    """
    y = np.asarray(y, np.float64)
    if y.ndim != 2 or len(y) != x.shape[0]:
        raise ValueError(
            f"y has shape {y.shape}, expected [{x.shape[0]}, C], one row per training "
            "input; centred_one_hot makes them of classes"
        )
    images, x = native(kernel, images), native(kernel, x)
    n = images.shape[0]
    factor = ridge_factor(compute(kernel, images, None, get, tile, executor), ridge)
    triangle = np.zeros((0, n + y.shape[1]))
    for begin in range(0, len(y), rows):
        some = slice(begin, begin + rows)
        k_ts = compute(kernel, x[some, ...], images, get, tile, executor)
        block = np.concatenate([k_ts, y[some]], axis=1)
        triangle = np.linalg.qr(np.concatenate([triangle, block]), mode="r")
    k_ts, targets = triangle[:, :n], triangle[:, n:]
    # A is symmetric, so that K_ts A^-1 is the transpose of A^-1 K_ts^T.
    mixed = factor.solve(k_ts.T).T
    return np.linalg.lstsq(mixed, targets, rcond=SMALLEST)[0]
