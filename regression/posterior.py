"""Kernel ridge regression, which is also the posterior of a Gaussian process."""

from dataclasses import dataclass, field
from math import log, pi
from typing import Any, NamedTuple

import numpy as np

from .cholesky import Cholesky
from .factor import factor
from .matrices import matrix, symmetric_matrix, targets, vector
from .ridge import diagonal_shift
from .tiled_cholesky import TiledCholesky


class Prediction(NamedTuple):
    """A prediction. What was not asked for is None.

    Args:
        mean: ``[m]`` or ``[m, outputs]``.
        variance: of each test point, ``[m]``, the same for every output.
        covariance: of all pairs of test points, ``[m, m]``, the same for every output.
    """

    mean: np.ndarray
    variance: np.ndarray | None = None
    covariance: np.ndarray | None = None


@dataclass(frozen=True)
class Posterior:
    r"""f given y = f(x) + noise, with f ~ GP(0, K) and noise of variance lambda:

    .. math::
        \bar f(x_*) = K_{*} (K + \lambda I)^{-1} y, \qquad
        \mathrm{cov}(x_*, x_*') = K_{**} - K_{*} (K + \lambda I)^{-1} K_{*}^T.

    The mean is kernel ridge regression. The covariance is that of f, without noise.
    Factorised once by ``fit``; every method after it only solves. All is NumPy in
    float64; nothing here is differentiated.

    Args:
        cholesky: the factor, with the ``jitter`` it needed and its ``condition``.
        y: targets ``[n, k]``.
        weights: alpha = (K + lambda I)^-1 y, ``[n, k]``.
        residual: the largest \|(K + lambda I) alpha - y\| / \|y\| over the outputs, for
            the lambda that was asked for: jitter shows here.
        is_vector: whether y came as ``[n]``.

    Reference: Rasmussen & Williams 2006, eq. 2.25 and 2.26.

    >>> import numpy as np
    >>> p = Posterior.fit(np.eye(2), np.asarray([1.0, -1.0]), ridge=1.0)
    >>> np.round(p.mean(np.eye(2)), 12).tolist()
    [0.5, -0.5]
    """

    cholesky: Cholesky | TiledCholesky
    y: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    residual: float
    is_vector: bool

    @classmethod
    def fit(
        cls, k: Any, y: Any, ridge: float = 0.0, ridge_scale: str = "trace"
    ) -> "Posterior":
        """Factorise the kernel matrix of the training inputs.

        Args:
            k: ``[n, n]``, of NumPy, JAX or torch; or a tiled matrix on disk, whose
                factor is kept in temporary files.
            y: targets ``[n]`` or ``[n, outputs]``.
            ridge: the noise variance, >= 0; 0 interpolates.
            ridge_scale: "trace" for a ridge in units of tr(K) / n, or "absolute".

        Raises:
            NotPositiveDefiniteError: k is no kernel matrix.
        """
        k = symmetric_matrix("k", k)
        y, is_vector = targets(y, len(k))
        shift = diagonal_shift(k, ridge, ridge_scale)
        cholesky = factor(k, shift)
        weights = cholesky.solve(y)
        missed = np.linalg.norm(k @ weights + cholesky.shift * weights - y, axis=0)
        size = np.linalg.norm(y, axis=0)
        residual = float(np.max(missed / np.where(size > 0, size, 1.0)))
        return cls(cholesky, y, weights, residual, is_vector)

    @property
    def jitter(self) -> float:
        """What had to be added to the diagonal besides the ridge."""
        return self.cholesky.jitter

    def mean(self, k_test: Any) -> np.ndarray:
        """The mean at test points, ``[m]`` or ``[m, outputs]`` as y came.

        Args:
            k_test: kernel between test and training points, ``[m, n]``.
        """
        return self._like_y(self._between(k_test) @ self.weights)

    def variance(self, k_test: Any, prior: Any) -> np.ndarray:
        """The variance at each test point, ``[m]``, at the cost of ``mean``'s kernel.

        Args:
            k_test: as in ``mean``.
            prior: K(x, x) of each test point, ``[m]``.
        """
        half = self.cholesky.half_solve(self._between(k_test).T)
        prior = vector("prior", prior, half.shape[1])
        # Rounding can push the variance at a training point below zero.
        return np.maximum(prior - np.sum(half * half, axis=0), 0.0)

    def covariance(self, k_test: Any, prior: Any) -> np.ndarray:
        """The covariance of all test points, ``[m, m]``.

        Args:
            k_test: as in ``mean``.
            prior: kernel between all test points, ``[m, m]``.
        """
        half = self.cholesky.half_solve(self._between(k_test).T)
        m = half.shape[1]
        return matrix("prior", prior, (m, m)) - half.T @ half

    def leave_one_out(self) -> np.ndarray:
        """The mean at each training point, fitted to all others, shaped as y."""
        diagonal = self.cholesky.inverse_diagonal
        return self._like_y(self.y - self.weights / diagonal[:, None])

    def log_marginal_likelihood(self) -> float:
        """log p(y), summed over the outputs, each a sample of the same process."""
        n, outputs = self.y.shape
        fit = float(np.sum(self.y * self.weights))
        volume = self.cholesky.log_determinant + n * log(2 * pi)
        return -(fit + outputs * volume) / 2

    def _between(self, k_test: Any) -> np.ndarray:
        return matrix("k_test", k_test, (None, len(self.y)))

    def _like_y(self, prediction: np.ndarray) -> np.ndarray:
        return prediction[:, 0] if self.is_vector else prediction
