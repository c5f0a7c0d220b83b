"""Families of dual activations with the same arithmetic, and their maps per pixel."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from math import factorial, sqrt

import numpy as np

HIGHEST_POWER = 8


class Family(IntEnum):
    """What ``cpu_duals.value`` and ``cpu_duals.partials`` can compute."""

    RECTIFIER = 0
    SIGN = 1
    STEP = 2
    POWER = 3
    EXP_NORMALIZED = 4
    ERF = 5
    GELU = 6
    EXPONENTIAL = 7
    DAMPED = 8
    POLYNOMIAL = 9


@dataclass(frozen=True)
class Dual:
    """One dual activation: its family, the family's parameters, and its maps.

    Args:
        family: which formula.
        parameters: at most 4 numbers; ``cpu_duals_*.py`` say which.
        coefficients: of the polynomial f, lowest power first; () for other families.
    """

    family: Family
    parameters: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()

    @property
    def parts(self) -> int:
        """Number of maps."""
        return len(self.maps(np.ones(1)))

    def maps(self, p: np.ndarray) -> np.ndarray:
        """The maps of variances p, ``[...] -> [parts, ...]``; map 0 is p itself."""
        return np.stack([p, *_MAPS[self.family](self, p)])


def inverse_std(p: np.ndarray) -> np.ndarray:
    """1 / sqrt(p), and 0 for a zero row."""
    positive = p > 0
    return np.where(positive, 1 / np.sqrt(np.where(positive, p, 1.0)), 0.0)


def _polynomial_maps(dual: Dual, p: np.ndarray) -> list[np.ndarray]:
    """R_l(p) = sum_i a_{2i+l} (2i+l)! / (2^i i! sqrt(l!)) p^i for l = 0, ..., of f and
    of its first three derivatives, whose polynomials are padded to the length of f's.

    Reference: Han et al. 2022 (2209.04121), theorem 1.
    """
    maps = []
    a = list(dual.coefficients)
    for _ in range(4):
        for order in range(len(a)):
            total = np.zeros_like(p)
            for i in range((len(a) - 1 - order) // 2, -1, -1):
                n = 2 * i + order
                weight = factorial(n) / (2**i * factorial(i) * sqrt(factorial(order)))
                total = total * p + a[n] * weight
            maps.append(total)
        a = [n * a[n] for n in range(1, len(a))] + [0.0]
    return maps


def _angular(dual: Dual, p: np.ndarray) -> list[np.ndarray]:
    return [inverse_std(p)]


def _power(dual: Dual, p: np.ndarray) -> list[np.ndarray]:
    n = dual.parameters[0]
    return [inverse_std(p), np.sqrt(p) ** n, np.sqrt(p) ** (n - 1)]


_MAPS: dict[Family, Callable[[Dual, np.ndarray], list[np.ndarray]]] = {
    Family.RECTIFIER: _angular,
    Family.SIGN: _angular,
    Family.STEP: _angular,
    Family.POWER: _power,
    Family.EXP_NORMALIZED: lambda dual, p: [inverse_std(p), np.sqrt(p)],
    Family.ERF: lambda dual, p: [(1 + 2 * dual.parameters[0] * p) ** -0.5],
    Family.GELU: lambda dual, p: [(1 + dual.parameters[0] * p) ** -0.5],
    Family.EXPONENTIAL: lambda dual, p: [],
    Family.DAMPED: lambda dual, p: [],
    Family.POLYNOMIAL: _polynomial_maps,
}
