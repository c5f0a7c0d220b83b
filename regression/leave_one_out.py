r"""Errors on training points left out, in closed form.

With A = K + lambda I and alpha = A^{-1} y, the fit to all points but i misses that
point by

.. math:: y_i - f_{-i}(x_i) = \alpha_i / [A^{-1}]_{ii}

(Rasmussen & Williams 2006, eq. 5.12): n fits for the price of one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .matrices import matrix, square_matrix, targets, unit_roundoff
from .ridge import checked_ridge, ridge_unit
from .spectrum import Spectrum, eigendecompose

RIDGES = tuple(float(r) for r in 10.0 ** np.arange(-8, 1.5, 0.5))
CRITERIA = ("mse", "error")


@dataclass(frozen=True)
class RidgeChoice:
    """A ridge chosen by leave-one-out or validation, and the errors that led to it.

    Args:
        ridge: the chosen one, in units of ``ridge_scale``.
        ridge_scale: "trace" or "absolute".
        ridges: all that were tried, ``[r]``.
        errors: the error of each, ``[r]``.
        criterion: "mse" or "error".
    """

    ridge: float
    ridge_scale: str
    ridges: np.ndarray = field(repr=False)
    errors: np.ndarray = field(repr=False)
    criterion: str

    @property
    def at_edge(self) -> bool:
        """Whether it is the smallest or largest that was tried: try more on that
        side."""
        return self.ridge in (self.ridges[0], self.ridges[-1])


def choose_ridge(
    k: Any,
    y: Any,
    ridges: Any = RIDGES,
    ridge_scale: str = "trace",
    criterion: str = "mse",
    validation: tuple[Any, Any] | None = None,
    rows: Any = None,
) -> RidgeChoice:
    """The ridge with the smallest leave-one-out error on the training set, or with the
    smallest error on a validation set.

    One eigendecomposition serves all ridges. No test data are involved.

    Args:
        k: kernel matrix of the training inputs, ``[n, n]``.
        y: targets ``[n]`` or ``[n, outputs]``.
        ridges: candidates, all > 0.
        ridge_scale: "trace" for ridges in units of tr(K) / n, or "absolute".
        criterion: "mse", or "error": the fraction of rows whose largest prediction is
            not at the largest target. Equal errors are decided by the mse.
        validation: the kernel between validation and training inputs, ``[m, n]``, and
            the validation targets; None for leave-one-out.
        rows: slice, indices or mask of the rows whose errors count; None for all.

    >>> import numpy as np
    >>> k, y = np.eye(4) + 1, np.asarray([1.0, 1.0, 1.0, 1.0])
    >>> choose_ridge(k, y, ridges=[0.1, 1.0, 10.0]).ridge
    0.1
    """
    unit_k = unit_roundoff(k)
    k = square_matrix("k", k)
    y, _ = targets(y, len(k))
    grid = checked_ridges(ridges)
    check_criterion(criterion, y)
    spectrum = eigendecompose(k, unit_k)
    unit = ridge_unit(k, ridge_scale)
    if validation is None:
        truth = y
    else:
        k_other = matrix("validation", validation[0], (None, len(k)))
        truth, _ = targets(validation[1], len(k_other))
        if truth.shape[1] != y.shape[1]:
            raise ValueError(
                f"validation: its targets have {truth.shape[1]} columns, expected "
                f"{y.shape[1]} as y"
            )

    def residuals(shift: float) -> np.ndarray:
        if validation is None:
            return leave_one_out_residuals(spectrum, y, shift)
        return truth - k_other @ _solved(spectrum, y, shift)

    tried = (residuals(ridge * unit) for ridge in grid)
    return best_ridge(grid, tried, truth, ridge_scale, criterion, rows)


def best_ridge(
    grid: np.ndarray,
    residuals: Iterable[np.ndarray],
    truth: np.ndarray,
    ridge_scale: str,
    criterion: str,
    rows: Any = None,
) -> RidgeChoice:
    """The ridge with the smallest error.

    Args:
        grid: ridges, ascending, ``[r]``.
        residuals: for each of them truth minus prediction, ``[n, k]``.
        truth: targets, ``[n, k]``.
        ridge_scale: of the ridges.
        criterion, rows: as in ``choose_ridge``.
    """
    counted = _counted(rows, len(truth))
    truth = truth[counted]
    mse, error = np.empty(len(grid)), np.empty(len(grid))
    for i, every in enumerate(residuals):
        left = every[counted]
        mse[i] = np.mean(left**2)
        error[i] = np.mean((truth - left).argmax(axis=1) != truth.argmax(axis=1))
    order = np.lexsort((mse, error)) if criterion == "error" else np.argsort(mse)
    errors = error if criterion == "error" else mse
    return RidgeChoice(float(grid[order[0]]), ridge_scale, grid, errors, criterion)


def _counted(rows: Any, n: int) -> np.ndarray:
    """Indices of some of n rows."""
    if rows is None:
        return np.arange(n)
    try:
        counted = np.arange(n)[rows if isinstance(rows, slice) else np.asarray(rows)]
    except IndexError as error:
        raise ValueError(
            f"rows: {error}; expected a slice, indices or a mask of {n} rows"
        ) from error
    if not counted.size:
        raise ValueError(f"rows is {rows!r}, expected one of {n} rows at least")
    return np.atleast_1d(counted)


def check_criterion(criterion: str, y: np.ndarray) -> None:
    """Refuse what is no criterion for targets ``[n, k]``."""
    if criterion not in CRITERIA or (criterion == "error" and y.shape[1] < 2):
        raise ValueError(
            f"criterion is {criterion!r} for y of {y.shape[1]} columns, expected "
            "'mse', or 'error' where y has one column per class"
        )


def leave_one_out_residuals(
    spectrum: Spectrum, y: np.ndarray, shift: float
) -> np.ndarray:
    """y minus the prediction of each row from all others, ``[n, k]``, where
    ``shift`` > 0 is on the diagonal."""
    inverse, V = 1 / (spectrum.values + shift), spectrum.vectors
    return _solved(spectrum, y, shift) / ((V * V) @ inverse)[:, None]


def _solved(spectrum: Spectrum, y: np.ndarray, shift: float) -> np.ndarray:
    """alpha = (K + shift I)^-1 y, ``[n, k]``."""
    V = spectrum.vectors
    return V @ ((V.T @ y) / (spectrum.values + shift)[:, None])


def checked_ridges(ridges: Any) -> np.ndarray:
    """``ridges`` as an ascending array of numbers > 0, or an error."""
    grid = np.sort([checked_ridge(r) for r in np.atleast_1d(ridges).tolist()])
    if not len(grid) or grid[0] == 0:
        raise ValueError(f"ridges is {ridges!r}, expected at least one number, all > 0")
    return grid
