"""The other factorisation: eigenvalues, for many ridges and many times at once."""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh

from .cholesky import NotPositiveDefiniteError

# A kernel computed in float32 may have eigenvalues this far below zero, in units of
# the largest one.
NEGATIVE = 1e-6


@dataclass(frozen=True)
class Spectrum:
    """K = V diag(values) V^T.

    Args:
        values: the eigenvalues, ascending and >= 0, ``[n]``.
        vectors: V, one eigenvector per column, ``[n, n]``.
        cutoff: eigenvalues up to here are zero but for rounding.
    """

    values: np.ndarray
    vectors: np.ndarray = field(repr=False)
    cutoff: float


def eigendecompose(k: np.ndarray, roundoff: float) -> Spectrum:
    """The spectrum of a symmetric float64 matrix ``[n, n]``.

    The threads of OpenBLAS that end the process in Cholesky factors of 20,000 rows (see
    ``tiled_cholesky.LARGEST``) have no part in it: a tridiagonal matrix and the way
    back are made by dsymv, dsyr2k, dgemm and dtrmm, which go through any number of
    columns piece by piece. What limits n is ``MAX_ROWS``, see ``square_matrix``.

    Args:
        k: the matrix.
        roundoff: relative rounding error of its entries, which limits what can be
            known of small eigenvalues.

    Raises:
        NotPositiveDefiniteError: an eigenvalue is too far below zero for rounding.
    """
    values, vectors = eigh(k, check_finite=False, driver="evd")
    largest = max(float(values[-1]), 0.0)
    if values[0] < -NEGATIVE * largest or largest == 0:
        raise NotPositiveDefiniteError(
            "the matrix is not positive semi-definite: its eigenvalues go from "
            f"{values[0]:.3g} to {values[-1]:.3g}, expected none below zero but by "
            f"rounding; compute it in float64, or add {max(-values[0], 0):.3g} to its "
            "diagonal"
        )
    return Spectrum(np.maximum(values, 0.0), vectors, len(k) * roundoff * largest)
