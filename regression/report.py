"""What a solver says about its answer."""

from dataclasses import dataclass, field

import numpy as np


class NotConvergedError(RuntimeError):
    """An iterative solver that stopped before the tolerance was reached.

    Attributes:
        solution: what it had then, with its report.
    """

    def __init__(self, message: str, solution: "Solution") -> None:
        super().__init__(message)
        self.solution = solution


@dataclass(frozen=True)
class Report:
    """How (K + ridge I) x = y was solved.

    Args:
        solver: "cholesky", "pcg" or "block".
        residuals: |(K + ridge I) x - y| / |y| of every column of y, computed from x.
        iterations: of every column; 0 for "cholesky", and passes over the matrix for
            "block".
        jitter: what was added to the diagonal besides the ridge.
        condition: an estimate of the condition number of K + ridge I; NaN if unknown.
    """

    solver: str
    residuals: np.ndarray
    iterations: np.ndarray
    jitter: float
    condition: float


@dataclass(frozen=True)
class Solution:
    """x in (K + ridge I) x = y, shaped as y, and how it was found."""

    x: np.ndarray = field(repr=False)
    report: Report


def relative_residuals(k: object, shift: float, x: np.ndarray, y: np.ndarray) -> tuple:
    """The residual y - (K + shift I) x, and its norm relative to y's, by column."""
    missed = y - (k @ x + shift * x)
    return missed, np.linalg.norm(missed, axis=0) / sizes(y)


def sizes(y: np.ndarray) -> np.ndarray:
    """The norms of the columns of y, 1 for those that are zero."""
    norms = np.linalg.norm(y, axis=0)
    return np.where(norms > 0, norms, 1.0)
