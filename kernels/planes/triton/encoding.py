"""From a dual activation to the numbers that a Triton kernel is compiled with."""

from functools import cache
from math import factorial, sqrt

import numpy as np

from ..arccosine_polynomials import arccosine_polynomials
from ..encode_activation import NoDual
from ..families import HIGHEST_POWER, Dual, Family

# A polynomial is unrolled: of degree d its kernel has about 2 d^2 multiplications.
HIGHEST_DEGREE = 12


def parameters(dual: Dual) -> tuple[float, ...]:
    """``PAR[o]`` of ``duals.py``.

    Raises:
        NoDual: a polynomial of too high a degree to be unrolled.
    """
    if dual.family == Family.POWER:
        return _power(int(dual.parameters[0]))
    if dual.family == Family.POLYNOMIAL:
        return _polynomial(dual.coefficients)
    return tuple(float(a) for a in dual.parameters) or (0.0,)


@cache
def _power(n: int) -> tuple[float, ...]:
    """n, then A_m and B_m of n + 1 coefficients, for m = n, n - 1, n - 2."""
    A, B = arccosine_polynomials(HIGHEST_POWER)
    rows = [row[m, : n + 1] for m in (n, n - 1, n - 2) for row in (A, B)]
    return (n, *(float(a) for a in np.concatenate(rows)))


def _polynomial(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """n, then of f and of each of its first three derivatives the n weights of p^i in
    R_l, a_{2i+l} (2i+l)! / (2^i i! sqrt(l!)), for l = 0, ..., n - 1.

    Reference: Han et al. 2022 (2209.04121), theorem 1.
    """
    n = len(coefficients)
    if n > HIGHEST_DEGREE + 1:
        raise NoDual(
            f"a polynomial of degree {n - 1} is too long to be unrolled in a kernel, "
            f"{HIGHEST_DEGREE} is the highest; use engine='exact'"
        )
    a, weights = list(coefficients), np.zeros((4, n, n))
    for d in range(4):
        for order in range(n):
            for i in range((n - 1 - order) // 2 + 1):
                power = 2 * i + order
                scale = 2**i * factorial(i) * sqrt(factorial(order))
                weights[d, order, i] = a[power] * factorial(power) / scale
        a = [i * a[i] for i in range(1, n)] + [0.0]
    return (n, *(float(w) for w in weights.reshape(-1)))
