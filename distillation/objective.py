"""The objective of KIP and its gradients, by two passes over tiles of the kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import compute, compute_gradient
from ..kernels.matrix.pull_back import native
from .ridge_loss import ridge_loss
from .sketched import sketched_gradients

Array = Any


@dataclass(frozen=True)
class Gradients:
    """The objective at a support set, and where it falls.

    Args:
        loss: the objective.
        images: its gradient in the images, ``[n, ...]``; NaN where loss is not finite.
        labels: its gradient in the labels, ``[n, C]``.
        predictions: of the targets, ``[N, C]``.
    """

    loss: float
    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


def kip_gradients(
    kernel: Callable[..., Any],
    images: Array,
    labels: np.ndarray,
    x: Array,
    y: np.ndarray,
    ridge: float = 1e-6,
    get: str = "ntk",
    tile: int | None = None,
    executor: Any = None,
) -> Gradients:
    r"""How well kernel regression on a support set predicts targets, with gradients.

    .. math:: L = \frac{1}{2N} \| K_{ts} (K_{ss} + \lambda \mathrm{tr}(K_{ss})/n \, I)
        ^{-1} y_s - y_t \|^2

    The kernel matrices are computed tile by tile, the system is solved in float64, and
    the gradients are pulled back tile by tile: the graph of the kernel is never in
    memory, only one tile of it. A ``SketchedKernel`` is used through its features, and
    tile and executor do not matter.

    Args:
        kernel: ``kernel(x1, x2, get)``.
        images: the support ``[n, ...]``.
        labels: of the support, ``[n, C]``.
        x: targets ``[N, ...]`` like the images.
        y: labels of the targets, ``[N, C]``.
        ridge: lambda, in units of the mean diagonal of K_ss.
        get: "ntk" or "nngp".
        tile, executor: as of ``compute``.

    Reference: Nguyen et al. 2021 (2107.13034), section 2 and appendix B.

    >>> import numpy as np, tangency as tg
    >>> kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    >>> x, y = np.eye(3), np.asarray([[1.0], [-1.0], [0.0]])
    >>> tg.kip_gradients(kernel, x, y, x, y, ridge=0.0).loss < 1e-20
    True
    """
    images, x = native(kernel, images), native(kernel, x)
    if hasattr(kernel, "features"):
        loss, gradient = sketched_gradients(kernel, images, labels, x, y, ridge, get)
        return Gradients(loss.value, gradient, loss.labels, loss.predictions)
    k_st = compute(kernel, images, x, get, tile, executor)
    k_ss = compute(kernel, images, None, get, tile, executor)
    loss = ridge_loss(k_ss, k_st, labels, y, ridge)
    if not np.isfinite(loss.value):
        nowhere = np.full(tuple(images.shape), np.nan)
        return Gradients(loss.value, nowhere, loss.labels, loss.predictions)
    gradient = compute_gradient(kernel, images, x, loss.k_st, get, tile, executor)
    gradient += compute_gradient(kernel, images, None, loss.k_ss, get, tile, executor)
    return Gradients(loss.value, gradient, loss.labels, loss.predictions)
