r"""Rectified powers: the arc-cosine kernels of every degree."""

from dataclasses import dataclass
from functools import cache
from math import pi

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import angle
from .parameters import degree
from .polynomials import homogeneous, power_coefficients
from .steps import heaviside


@cache
def arc_cosine_coefficients(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    r"""The polynomials A_n (degree n) and B_n (degree n - 1), lowest power first, of
    the arc-cosine kernel J_n(theta) = A_n(rho) (pi - theta) + B_n(rho) sin theta.

    A_n = E[u^n v^n] at unit variance. As J_n' = n^2 J_{n-1} in rho,

    .. math::
        (1 - \rho^2)(B_n' - n^2 B_{n-1}) - \rho B_n + A_n = 0,

    which is solved here for the coefficients of B_n, highest power first, in integers.

    >>> arc_cosine_coefficients(3)
    ((0, 9, 0, 6), (4, 0, 11))
    """
    a = power_coefficients(n)
    if n == 0:
        return a, ()
    below = [n**2 * b for b in arc_cosine_coefficients(n - 1)[1]]
    below = [0, 0, *below, 0, 0]  # below[m + 2] belongs to rho^m
    b = [0] * (n + 2)
    for m in range(n, 0, -1):
        known = below[m + 2] - below[m] - a[m] if m + 2 < len(below) else 0
        b[m - 1] = ((m + 1) * b[m + 1] - known) // m
    return a, tuple(b[:n])


@dataclass(frozen=True)
class RectifiedMonomial(Activation):
    r"""f(x) = x^n 1(x > 0) with n = ``degree``; f(0) = 1/2 for n = 0.

    .. math::
        k = \frac{(pq)^{n/2}}{2 \pi} [A_n(\rho) (\pi - \theta) + B_n(\rho) \sin\theta],
        \qquad \dot k = n^2 k_{n-1}, \quad \dot k = 0 \text{ for } n = 0,

    in powers of c and p q, without a division: the diagonal, opposite inputs and zero
    rows need no care. The value overflows where
    (p q)^{n/2} does, and its gradient may where (p q)^{(n+1)/2} does.

    Reference: Cho & Saul 2009, eq. 4 and 5, which repeats a derivative; A_n and B_n
    from ``arc_cosine_coefficients``.

    >>> import numpy as np
    >>> float(RectifiedMonomial(2).value(*np.asarray([1.0, 1.0, 1.0])))  # E[x^4] / 2
    1.5
    """

    degree: int

    def __post_init__(self) -> None:
        degree("RectifiedMonomial", self.degree)

    def __call__(self, x: Array) -> Array:
        if self.degree == 0:
            return heaviside(x)
        return array_namespace(x).where(x > 0, x, 0 * x) ** self.degree

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return _arc_cosine(self.degree, p, q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        if self.degree == 0:
            return array_namespace(c).zeros_like(c)
        return self.degree**2 * _arc_cosine(self.degree - 1, p, q, c)


def _arc_cosine(n: int, p: Array, q: Array, c: Array) -> Array:
    theta, sine = angle(p, q, c)
    a, b = arc_cosine_coefficients(n)
    k = homogeneous(a, p * q, c) * (pi - theta)
    if b:
        k = k + homogeneous(b, p * q, c) * sine
    return k / (2 * pi)
