"""Factorisation of large matrices in memory, a panel of columns at a time."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular

WIDTH = 1024


def factor_by_panels(a: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """L of A = L L^T, in the order of Fortran, zero above the diagonal.

    Every panel first loses the product of those before it, then its square is factored
    and what is below is solved: all work but that of squares is products of matrices.

    Args:
        a: symmetric float64 ``[n, n]``; its lower triangle is read, and it may be
            overwritten.
        width: columns of a panel.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.

    Reference: Golub & Van Loan, Matrix Computations, 4th edition, section 4.2.6.
    """
    lower = np.asfortranarray(a)
    n = len(lower)
    for start in range(0, n, width):
        stop = min(start + width, n)
        panel = lower[start:, start:stop]
        panel -= lower[start:, :start] @ lower[start:stop, :start].T
        square = cholesky(panel[: stop - start], lower=True, check_finite=False)
        panel[: stop - start] = square
        below = panel[stop - start :]
        below[:] = solve_triangular(square, below.T, lower=True, check_finite=False).T
        lower[:start, start:stop] = 0
    return lower


def inverse_diagonal(lower: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """The diagonal of (L L^T)^-1, ``[n]``: squared norms of the columns of L^-1."""
    n = len(lower)
    found = np.empty(n)
    for start in range(0, n, width):
        stop = min(start + width, n)
        # Columns of L^-1 are zero above the diagonal.
        unit = np.eye(n - start, stop - start)
        columns = solve_triangular(
            lower[start:, start:], unit, lower=True, check_finite=False
        )
        found[start:stop] = np.sum(columns * columns, axis=0)
    return found
