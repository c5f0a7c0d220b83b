r"""Ridge regression on features, from sums that a stream of batches adds up.

With features Z ``[n, r]`` of a kernel K = Z Z^T, kernel ridge regression predicts z w,

.. math:: (Z^T Z + \lambda I) \, w = Z^T y,

which takes memory r^2, whatever n is.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .factor import factor
from .leave_one_out import (
    RIDGES,
    RidgeChoice,
    best_ridge,
    check_criterion,
    checked_ridges,
    choose_ridge,
)
from .matrices import matrix, targets
from .ridge import RIDGE_SCALES, checked_ridge
from .spectrum import eigendecompose


@dataclass(frozen=True)
class Moments:
    r"""All that ridge regression needs to know of a set of rows; sets are added with +.

    Args:
        gram: Z^T Z, ``[r, r]``.
        cross: Z^T y, ``[r, k]``.
        square: the sum of y^2.
        count: the number of rows.

    >>> import numpy as np
    >>> z, y = np.eye(3), np.asarray([1.0, 2.0, 3.0])
    >>> whole = Moments.of(z[:1], y[:1]) + Moments.of(z[1:], y[1:])
    >>> whole.count, whole.square
    (3, 14.0)
    """

    gram: np.ndarray = field(repr=False)
    cross: np.ndarray = field(repr=False)
    square: float
    count: int

    @classmethod
    def of(cls, z: Any, y: Any) -> "Moments":
        """The moments of a batch, in float64.

        Args:
            z: features ``[n, r]`` of any array library.
            y: targets ``[n]`` or ``[n, k]``.
        """
        z = matrix("z", z)
        y, _ = targets(y, len(z))
        return cls(z.T @ z, z.T @ y, float((y * y).sum()), len(z))

    def __add__(self, other: "Moments") -> "Moments":
        if self.cross.shape != other.cross.shape:
            raise ValueError(
                f"moments of (features, outputs) {other.cross.shape} are added to "
                f"those of {self.cross.shape}, expected the same for all batches"
            )
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
            self.count + other.count,
        )

    def mean_squared_error(self, weights: np.ndarray) -> float:
        """The mean of (z w - y)^2 over these rows and all outputs."""
        fit = np.sum(weights * (self.gram @ weights)) - 2 * np.sum(weights * self.cross)
        # Rounding may push a perfect fit below zero.
        return max(float(fit + self.square), 0.0) / (self.count * self.cross.shape[1])


@dataclass(frozen=True)
class FeatureRidge:
    """Kernel ridge regression with a kernel that is given by features.

    Args:
        weights: w, ``[r, k]``.
        ridge: in units of ``ridge_scale``.
        choice: how the ridge was chosen; None if it was given.

    >>> import numpy as np
    >>> z, y = np.eye(3), np.asarray([1.0, 2.0, 3.0])
    >>> model = FeatureRidge.fit(z, y, ridge=1.0, ridge_scale="absolute")
    >>> np.round(model.predict(z)[:, 0], 12).tolist()
    [0.5, 1.0, 1.5]
    """

    weights: np.ndarray = field(repr=False)
    ridge: float
    choice: RidgeChoice | None = None

    @classmethod
    def from_moments(
        cls, moments: Moments, ridge: float, ridge_scale: str = "trace"
    ) -> "FeatureRidge":
        """The solution for the rows in ``moments``.

        Args:
            moments: of the training rows.
            ridge: a number >= 0.
            ridge_scale: "trace" for units of tr(Z Z^T) / n, or "absolute".
        """
        shift = checked_ridge(ridge) * _unit(moments, ridge_scale)
        weights = factor(moments.gram, shift).solve(moments.cross)
        return cls(weights, ridge)

    @classmethod
    def validated(
        cls,
        train: Moments,
        validation: Moments,
        ridges: Any = RIDGES,
        ridge_scale: str = "trace",
    ) -> "FeatureRidge":
        """The ridge with the smallest error on rows of a validation set; the weights
        are those of the training rows alone.

        Both sets are known by their moments only, so this needs no second pass.
        """
        solve, grid = _Solver(train), checked_ridges(ridges)
        unit = _unit(train, ridge_scale)
        errors = [validation.mean_squared_error(solve(r * unit)) for r in grid]
        ridge = float(grid[np.argmin(errors)])
        choice = RidgeChoice(ridge, ridge_scale, grid, np.asarray(errors), "mse")
        return cls(solve(ridge * unit), ridge, choice)

    @classmethod
    def fit(
        cls,
        z: Any,
        y: Any,
        ridge: float | str = "loo",
        ridges: Any = RIDGES,
        ridge_scale: str = "trace",
        criterion: str = "mse",
        rows: Any = None,
    ) -> "FeatureRidge":
        """The solution for features in memory.

        Args:
            z: features ``[n, r]``.
            y: targets ``[n]`` or ``[n, k]``.
            ridge: a number >= 0, or "loo" for that of ``ridges`` with the smallest
                leave-one-out error, in closed form.
            ridges, ridge_scale, criterion: as in ``choose_ridge``.
            rows: slice, indices or mask of the rows whose leave-one-out errors count;
                None for all. Leave out those that a sketch was fitted on: landmarks
                have features of their own, which no other row knows how to weigh.
        """
        moments = Moments.of(z, y)
        if ridge != "loo":
            return cls.from_moments(moments, ridge, ridge_scale)
        z = matrix("z", z)
        y, _ = targets(y, len(z))
        if z.shape[1] >= len(z):
            # Leverages are all near 1, which only the kernel form can subtract from 1.
            k = z @ z.T
            choice = choose_ridge(k, y, ridges, ridge_scale, criterion, rows=rows)
            best = cls.from_moments(moments, choice.ridge, ridge_scale)
            return replace(best, choice=choice)
        check_criterion(criterion, y)
        solve, grid = _Solver(moments), checked_ridges(ridges)
        unit = _unit(moments, ridge_scale)
        left = (solve.leave_one_out(z, y, r * unit) for r in grid)
        choice = best_ridge(grid, left, y, ridge_scale, criterion, rows)
        return cls(solve(choice.ridge * unit), choice.ridge, choice)

    def predict(self, z: Any) -> np.ndarray:
        """Predictions ``[m, k]`` in float64 at features ``[m, r]``."""
        return matrix("z", z, (None, len(self.weights))) @ self.weights


class _Solver:
    """(Z^T Z + shift I)^{-1} Z^T y for any number of shifts: one eigendecomposition."""

    def __init__(self, moments: Moments) -> None:
        spectrum = eigendecompose(moments.gram, np.finfo(float).eps)
        self.values, self.vectors = spectrum.values, spectrum.vectors
        self.cross = self.vectors.T @ moments.cross

    def __call__(self, shift: float) -> np.ndarray:
        return self.vectors @ (self.cross / (self.values + shift)[:, None])

    def leave_one_out(self, z: np.ndarray, y: np.ndarray, shift: float) -> np.ndarray:
        """(y - z w) / (1 - h), h_i = z_i (Z^T Z + shift I)^{-1} z_i."""
        rotated = z @ self.vectors
        inverse = 1 / (self.values + shift)
        leverage = (rotated * rotated) @ inverse
        residual = y - rotated @ (inverse[:, None] * self.cross)
        rest = np.maximum(1 - leverage, np.finfo(float).eps)
        return residual / rest[:, None]


def _unit(moments: Moments, ridge_scale: str) -> float:
    """What a ridge of 1 adds to the diagonal of Z Z^T, and of Z^T Z."""
    if ridge_scale not in RIDGE_SCALES:
        raise ValueError(
            f"ridge_scale is {ridge_scale!r}, expected one of {RIDGE_SCALES}"
        )
    if ridge_scale == "absolute":
        return 1.0
    return float(np.trace(moments.gram)) / moments.count
