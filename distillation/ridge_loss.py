r"""The objective of KIP as a function of two kernel matrices, in float64.

.. math:: L = \frac{1}{2N} \| R \|^2, \quad R = K_{ts} \alpha - y_t, \quad
    A \alpha = y_s, \quad A = K_{ss} + \frac{\lambda}{n} \mathrm{tr}(K_{ss}) \, I

for N targets and n support points. Its gradients are

.. math::
    \frac{\partial L}{\partial K_{ts}} = \frac1N R \alpha^T, \quad
    B = \frac{1}{N} A^{-1} K_{ts}^T R, \quad
    \frac{\partial L}{\partial y_s} = B, \quad
    \frac{\partial L}{\partial A} = -B \alpha^T,

and that in K_ss has the trace of the last one, times lambda / n, on its diagonal too.

Reference: Nguyen et al. 2021 (2011.00050), eq. 7.
"""

from dataclasses import dataclass

import numpy as np

from ..regression.cholesky import Cholesky
from ..regression.factor import factor
from ..regression.tiled_cholesky import TiledCholesky


@dataclass(frozen=True)
class Loss:
    """The objective and its gradients.

    Args:
        value: L.
        predictions: K_ts alpha, ``[N, C]``.
        k_st: gradient in K_st, ``[n, N]``.
        k_ss: gradient in K_ss, ``[n, n]``.
        labels: gradient in y_s, ``[n, C]``.
    """

    value: float
    predictions: np.ndarray
    k_st: np.ndarray
    k_ss: np.ndarray
    labels: np.ndarray


def ridge_loss(
    k_ss: np.ndarray,
    k_st: np.ndarray,
    y_s: np.ndarray,
    y_t: np.ndarray,
    ridge: float,
) -> Loss:
    """The objective of a support set, and its gradients.

    Args:
        k_ss: kernel of the support, ``[n, n]``.
        k_st: kernel between support and targets, ``[n, N]``.
        y_s: labels of the support, ``[n, C]``.
        y_t: labels of the targets, ``[N, C]``.
        ridge: lambda, in units of the mean diagonal of K_ss.
    """
    k_st = np.asarray(k_st, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        # An optimiser that runs away overflows: the caller is told by the value.
        return _loss(k_ss, k_st, y_s, y_t, ridge)


def _loss(
    k_ss: np.ndarray,
    k_st: np.ndarray,
    y_s: np.ndarray,
    y_t: np.ndarray,
    ridge: float,
) -> Loss:
    n, targets = k_st.shape
    solver = ridge_factor(k_ss, ridge)
    alpha = solver.solve(y_s)
    predictions = k_st.T @ alpha
    residual = predictions - y_t
    labels = solver.solve(k_st @ residual) / targets
    slope = -labels @ alpha.T
    trace = ridge * float(np.trace(slope)) / n
    return Loss(
        float(np.sum(residual**2)) / (2 * targets),
        predictions,
        alpha @ residual.T / targets,
        slope + trace * np.eye(n),
        labels,
    )


def predict(
    k_ss: np.ndarray, k_st: np.ndarray, y_s: np.ndarray, ridge: float
) -> np.ndarray:
    """Predictions ``[N, C]`` at the targets, as in the objective."""
    return np.asarray(k_st, np.float64).T @ ridge_factor(k_ss, ridge).solve(y_s)


def ridge_factor(k_ss: np.ndarray, ridge: float) -> Cholesky | TiledCholesky:
    """The factor of A, ridge in units of the mean diagonal, in float64."""
    k_ss = np.asarray(k_ss, np.float64)
    return factor(k_ss, ridge * float(np.trace(k_ss)) / len(k_ss))
