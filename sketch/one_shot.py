"""Nystrom features of a whole network: the exact kernel with landmark inputs."""

from typing import Any

import numpy as np

from ..kernels import ExactKernel, compute_diagonal
from .blocks import Array, matmul
from .constants import Constant
from .fitting import concrete
from .nystrom import whitener
from .rpcholesky import rpcholesky


class OneShot:
    """Features K(x, Z) R of the exact kernels, with landmarks Z out of the sample.

    For vectors a kernel costs one product of two rows and a recursion of numbers, so
    that features of single layers would only add errors.

    Args:
        net: the network.
        sample: candidates, NumPy ``[n, d]``.
        m: number of landmarks; fewer if the kernels of the sample have a lower rank.
        rng: draws the landmarks.
    """

    def __init__(
        self, net: Any, sample: np.ndarray, m: int, rng: np.random.Generator
    ) -> None:
        self.kernel = ExactKernel(net)
        x = sample.astype(np.float64)
        chosen = _choose(ExactKernel(concrete(net)), x, m, rng)
        self.landmarks = Constant(x[chosen])
        k = ExactKernel(concrete(net))(x[chosen])
        self.whiteners = {
            name: Constant(whitener(getattr(k, name))) for name in k._fields
        }

    def features(self, x: Array, names: tuple[str, ...]) -> tuple[Array, ...]:
        """The features of every kernel in ``names``, ``[n, r]``."""
        k = self.kernel(x, self.landmarks.like(x), names)
        return tuple(matmul(getattr(k, name), self.whiteners[name]) for name in names)


def _choose(
    kernel: ExactKernel, x: np.ndarray, m: int, rng: np.random.Generator
) -> np.ndarray:
    """Landmarks by randomly pivoted Cholesky on the sum of both kernels, each divided
    by its trace."""
    diagonals = [compute_diagonal(kernel, x, name) for name in ("nngp", "ntk")]
    traces = [d.sum() for d in diagonals]
    if not traces[0] > 0:
        raise ValueError(
            "sample: its kernel is zero, so that there is no landmark in it; pass "
            "inputs like those to come, or a network with biases"
        )
    weights = [1 / t if t > 0 else 0.0 for t in traces]

    def columns(indices: np.ndarray) -> np.ndarray:
        k = kernel(x, x[indices])
        return weights[0] * k.nngp + weights[1] * k.ntk

    diagonal = weights[0] * diagonals[0] + weights[1] * diagonals[1]
    return rpcholesky(columns, diagonal, m, rng)
