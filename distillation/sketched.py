r"""The objective of KIP on features, K = Z Z^T, and its gradients.

With C the gradients in both kernel matrices, the one in the features of the support is

.. math:: \bar Z_s = C_{st} Z_t + (C_{ss} + C_{ss}^T) Z_s,

which is pulled back through the feature map, some images at a time.

Reference: Loo et al. 2022 (2210.12067), who distil with random features of the NNGP.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..kernels.matrix.host import as_numpy
from ..kernels.matrix.pull_back import Same, pull_back_of
from .ridge_loss import Loss, ridge_loss

Array = Any
# Numbers in the features of the images that are computed at a time.
NUMBERS = 2**24


def features(kernel: Any, x: Array, get: str) -> np.ndarray:
    """Z(x), ``[n, r]``, in float64.

    Raises:
        ValueError: the network keeps spatial axes.
    """
    parts = [
        as_numpy("x", kernel.features(x[rows, ...], get)) for rows in _parts(kernel, x)
    ]
    z = np.concatenate(parts).astype(np.float64)
    if z.ndim != 2:
        raise ValueError(
            f"kernel: its features have shape {z.shape}, expected [n, r]; a network "
            "that keeps spatial axes needs Flatten() or GlobalAvgPool() at its end"
        )
    return z


def sketched_gradients(
    kernel: Any,
    images: Array,
    labels: np.ndarray,
    x: Array,
    y: np.ndarray,
    ridge: float,
    get: str,
) -> tuple[Loss, np.ndarray]:
    """The objective and its gradient in the images; see ``kip_gradients``."""
    z_s, z_t = features(kernel, images, get), features(kernel, x, get)
    loss = ridge_loss(z_s @ z_s.T, z_s @ z_t.T, labels, y, ridge)
    bar = loss.k_st @ z_t + (loss.k_ss + loss.k_ss.T) @ z_s
    pull_back = pull_back_of(_feature_map(Same(kernel)), images, get)
    parts = [
        pull_back(images[rows, ...], None, bar[rows])[0]
        for rows in _parts(kernel, images)
    ]
    return loss, np.concatenate(parts)


@lru_cache(maxsize=16)
def _feature_map(same: Same) -> Any:
    """The features, called as a kernel of one set of inputs is."""
    return lambda x1, x2, name: same.kernel.features(x1, name)


def _parts(kernel: Any, x: Array) -> Iterator[slice]:
    """Rows whose features fit into memory in every layer."""
    n, pixels = x.shape[0], int(np.prod(x.shape[1:-1]))
    rows = max(1, NUMBERS // (kernel.dim * pixels))
    return (slice(i, min(i + rows, n)) for i in range(0, n, rows))
