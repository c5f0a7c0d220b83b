"""The factor of a matrix that LAPACK takes whole; ``factor`` chooses by the size."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigvalsh, solve_triangular
from scipy.linalg.lapack import dpocon, dpotri

# Tried in turn, in units of the mean diagonal.
JITTERS = (0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
Factor = TypeVar("Factor")


class JitterWarning(UserWarning):
    """More than the ridge had to be added to a diagonal for it to be factorised."""


class NotPositiveDefiniteError(ValueError):
    """A matrix that no small jitter makes positive definite: it is no kernel matrix."""


@dataclass(frozen=True)
class Cholesky:
    r"""A = K + (ridge + jitter) I = L L^T.

    Args:
        lower: L, ``[n, n]``.
        shift: the ridge on the diagonal, in absolute terms.
        jitter: what was added on top for A to be positive definite; 0 if nothing.
        norm: the largest absolute column sum of A.
    """

    lower: np.ndarray = field(repr=False)
    shift: float
    jitter: float
    norm: float

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b, ``[n, k]``."""
        return cho_solve((self.lower, True), b, check_finite=False)

    def half_solve(self, b: np.ndarray) -> np.ndarray:
        """L^-1 b, ``[n, k]``; b^T A^-1 b is its squared norm."""
        return solve_triangular(self.lower, b, lower=True, check_finite=False)

    @cached_property
    def inverse_diagonal(self) -> np.ndarray:
        """The diagonal of A^-1, ``[n]``."""
        return np.diagonal(dpotri(self.lower, lower=1)[0]).copy()

    @property
    def log_determinant(self) -> float:
        """log det A."""
        return 2 * float(np.sum(np.log(np.diagonal(self.lower))))

    @property
    def condition(self) -> float:
        """An estimate of the condition number of A in the 1-norm (LAPACK)."""
        reciprocal = dpocon(self.lower, self.norm, uplo="L")[0]
        return 1 / reciprocal if reciprocal > 0 else float("inf")


def factorise(k: np.ndarray, shift: float) -> Cholesky:
    """The Cholesky factor of K + shift I, in float64.

    If the matrix is not positive definite to rounding, 1e-8 of its mean diagonal is
    added, then ten times more, up to 1e-4; a ``JitterWarning`` says how much.

    Args:
        k: a symmetric float64 matrix ``[n, n]``; it is not changed.
        shift: what to add to its diagonal, >= 0.

    Raises:
        NotPositiveDefiniteError: even 1e-4 of the mean diagonal was not enough.
    """
    lower, jitter = with_jitter(
        lambda jitter: _attempt(k, shift + jitter),
        float(np.trace(k)) / len(k),
        lambda: float(eigvalsh(k, subset_by_index=[0, 0])[0]),
    )
    norm = float(np.abs(k).sum(axis=0).max()) + shift + jitter
    return Cholesky(lower, shift, jitter, norm)


def with_jitter(
    attempt: Callable[[float], Factor | None],
    mean: float,
    smallest: Callable[[], float],
) -> tuple[Factor, float]:
    """The first factor that there is, and the jitter that it took.

    Args:
        attempt: the factor with a jitter on the diagonal, or None.
        mean: of the diagonal.
        smallest: an estimate of the smallest eigenvalue, for the message.
    """
    for relative in JITTERS if mean > 0 else ():
        jitter = relative * mean
        factor = attempt(jitter)
        if factor is not None:
            if jitter:
                warnings.warn(
                    f"the matrix is singular to rounding: {jitter:.3g} ({relative:g} "
                    "of its mean diagonal) was added to the diagonal; pass a ridge of "
                    "that size or more, or drop repeated training inputs",
                    JitterWarning,
                    stacklevel=4,
                )
            return factor, jitter
    lowest = smallest()
    raise NotPositiveDefiniteError(
        f"the matrix is not positive semi-definite: its smallest eigenvalue is about "
        f"{lowest:.3g}, its mean diagonal {mean:.3g}. A kernel matrix has none below "
        "zero but by rounding; compute it in float64, or pass a ridge of at least "
        f"{max(-lowest, 0):.3g} with ridge_scale='absolute'"
    )


def _attempt(k: np.ndarray, shift: float) -> np.ndarray | None:
    """L, or None if K + shift I is not positive definite to rounding."""
    shifted = k.copy()
    shifted.flat[:: len(k) + 1] += shift
    diagonal = shifted.diagonal().copy()
    return lower_factor(shifted, diagonal, len(k))


def lower_factor(a: np.ndarray, diagonal: np.ndarray, n: int) -> np.ndarray | None:
    """L of a matrix, which is overwritten; None if a pivot is what cancellation of
    ``n`` terms left of an entry of ``diagonal``."""
    try:
        lower = cholesky(a, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    floor = n * np.finfo(float).eps * diagonal
    return lower if np.all(np.diagonal(lower) ** 2 > floor) else None
