"""Pairs of images whose angle float32 cannot resolve."""

import numpy as np

from .cpu_matmul import add_product, packed


def nearly_parallel(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Which pairs of images have an angle below 0.2, but are not the same image.

    The answer for a pair does not depend on what else is in its block.

    Args:
        x1, x2: ``[n, pixels]`` and ``[m, pixels]``.
    """
    columns = packed(x2.T, x2.dtype)
    products = np.zeros((len(x1), columns.shape[0] * columns.shape[2]), x2.dtype)
    add_product(products, x1, columns, 0, len(x1))
    products = products[:, : len(x2)]
    sizes = np.outer((x1 * x1).sum(1), (x2 * x2).sum(1))
    near = products * products > 0.96 * sizes
    for i, j in np.argwhere(near):
        near[i, j] = not np.array_equal(x1[i], x2[j])
    return near
