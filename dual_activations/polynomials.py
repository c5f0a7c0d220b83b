r"""Powers, polynomials and Hermite polynomials, at every norm of the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial, sqrt
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .parameters import degree, freeze, real


@cache
def power_coefficients(n: int) -> tuple[int, ...]:
    """(a_0, ..., a_n) with E[u^n v^n] = sum_l a_l c^l (p q)^((n - l) / 2), exactly.

    a_l = n!^2 / ((i!)^2 4^i l!) where i = (n - l) / 2 is an integer, else 0.

    >>> power_coefficients(4)
    (9, 0, 72, 0, 24)
    """
    a = [0] * (n + 1)
    for i in range(n // 2 + 1):
        denominator = factorial(i) ** 2 * 4**i * factorial(n - 2 * i)
        a[n - 2 * i] = factorial(n) ** 2 // denominator
    return tuple(a)


def homogeneous(a: Sequence[Any], pq: Array, c: Array) -> Array:
    """sum_l a_l c^l pq^((n - l) / 2) for a = (a_0, ..., a_n), n - l even.

    Every term starts with a power of c, so that an overflow of its power of pq is not
    multiplied by 0 where c is 0.
    """
    n = len(a) - 1
    power = c if n % 2 else array_namespace(c).ones_like(c)
    total = float(a[n]) * power
    for coefficient in reversed(a[n % 2 : n : 2]):
        power = power * pq
        total = total * (c * c) + float(coefficient) * power
    return total


@dataclass(frozen=True)
class Monomial(Activation):
    r"""f(x) = x^n with n = ``degree``.

    .. math::
        k = \sum_{l \equiv n (2)} \frac{n!^2}{(i!)^2 4^i l!} (pq)^i c^l, \quad
        i = (n - l)/2, \qquad \dot k = n^2 k_{n-1}.

    Reference: Isserlis' theorem, the pairs counted by l, those between u and v.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> float(Monomial(2).value(p, q, c) - (p * q + 2 * c**2))
    0.0
    """

    degree: int

    def __post_init__(self) -> None:
        degree("Monomial", self.degree)

    def __call__(self, x: Array) -> Array:
        return x**self.degree

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return homogeneous(power_coefficients(self.degree), p * q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        n = self.degree
        if n == 0:
            return array_namespace(c).zeros_like(c)
        return n**2 * homogeneous(power_coefficients(n - 1), p * q, c)


@dataclass(frozen=True)
class Hermite(Activation):
    r"""f(x) = h_n(x) = He_n(x) / sqrt(n!) with n = ``degree``, orthonormal at p = 1.

    .. math::
        k = \sum_{l \equiv n (2)} \frac{n!}{(i!)^2 4^i l!} ((p - 1)(q - 1))^i c^l, \quad
        i = (n - l)/2, \qquad \dot k = n k_{n-1},

    which is c^n at unit variance.

    Reference: Daniely et al. 2016 (1602.05897), section 4, for unit variance; for the
    others E[He_n^{(l)}(u)] = n! / (i! 2^i) (p - 1)^i in Mehler's formula.

    >>> import numpy as np
    >>> float(Hermite(3).value(*np.asarray([1.0, 1.0, 0.5])))
    0.125
    """

    degree: int

    def __post_init__(self) -> None:
        degree("Hermite", self.degree)

    def __call__(self, x: Array) -> Array:
        last, h = array_namespace(x).zeros_like(x), array_namespace(x).ones_like(x)
        for j in range(self.degree):
            last, h = h, (x * h - sqrt(j) * last) / sqrt(j + 1)
        return h

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return _hermite(self.degree, p, q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        if self.degree == 0:
            return array_namespace(c).zeros_like(c)
        return self.degree * _hermite(self.degree - 1, p, q, c)


def _hermite(n: int, p: Array, q: Array, c: Array) -> Array:
    a = [x / factorial(n) for x in power_coefficients(n)]
    return homogeneous(a, (p - 1) * (q - 1), c)


@dataclass(frozen=True)
class Polynomial(Activation):
    r"""f(x) = sum_j coef_j x^j, lowest power first.

    .. math::
        k = \sum_l r_l(p) r_l(q) \frac{c^l}{l!}, \qquad
        \dot k = \sum_{l \ge 1} r_l(p) r_l(q) \frac{c^{l-1}}{(l-1)!}, \qquad
        r_l(p) = E[f^{(l)}(u)] = \sum_i \mathrm{coef}_{2i+l} \frac{(2i+l)!}{2^i i!} p^i,

    without a division by p or q, so that zero rows are fine.

    Reference: Han et al. 2022 (2209.04121), theorem 1.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> float(Polynomial((-1.0, 0.0, 1.0)).value(p, q, c) - (p - 1) * (q - 1))  # 2 c^2
    0.5
    """

    coef: tuple[Any, ...]

    def __post_init__(self) -> None:
        coef = self.coef
        if isinstance(coef, str) or not hasattr(coef, "__len__"):
            raise TypeError(
                f"Polynomial: coef is {coef!r}, expected a sequence of numbers, the "
                "coefficient of x^0 first"
            )
        if len(coef) == 0:
            raise ValueError("Polynomial: coef is empty, expected at least one number")
        values = (real("Polynomial", f"coef[{j}]", v) for j, v in enumerate(coef))
        freeze(self, coef=tuple(values))

    def __call__(self, x: Array) -> Array:
        y = self.coef[-1] * array_namespace(x).ones_like(x)
        for a in reversed(self.coef[:-1]):
            y = y * x + a
        return y

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        xp = array_namespace(c)
        power = xp.ones_like(c)  # c^order / order!
        value, slope = xp.zeros_like(c), xp.zeros_like(c)
        for order in range(len(self.coef)):
            rp, rq = self._mean(order, p), self._mean(order, q)
            if order:
                slope = slope + power * rp * rq
                power = power * c / order
            value = value + power * rp * rq
        return value, slope

    def _mean(self, order: int, p: Array) -> Any:
        """r_l(p), the mean of the l-th derivative of f at variance p, l = ``order``."""
        r = 0.0
        for i in range((len(self.coef) - 1 - order) // 2, -1, -1):
            j = 2 * i + order
            r = r * p + self.coef[j] * (factorial(j) / (2**i * factorial(i)))
        return r
