r"""Exponential moments of a small Gaussian pair over a quadrant, to relative precision.

The moments of e^u - 1 vanish with the norm, and as differences of the integrals in
``wedge.py`` they would keep an absolute error alone. In polar coordinates the pair is
u = sqrt(p) r sin(alpha x), v = sqrt(q) r sin(alpha (1 - x)), with x in (0, 1) the
direction inside a quadrant of opening alpha: the integrand is smooth and of one sign.
"""

from functools import lru_cache
from math import pi
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .backends import backend_of
from .moments import safe_sqrt
from .quadrature import gauss, integral, legendre

Array = Any
RADII, DIRECTIONS = 8, 12
# Largest variance for which the two rules are exact to rounding.
SMALL = 0.1


def small_moments(p: Array, q: Array, theta: Array) -> tuple[Array, Array]:
    r"""E[u_+ (e^v - 1) 1(v < 0)] + E[v_+ (e^u - 1) 1(u < 0)] and
    E[(e^u - 1)(e^v - 1) 1(u, v < 0)], for p, q <= ``SMALL`` and correlation
    cos(theta).

    >>> one = np.asarray(1e-20)
    >>> mixed, both = small_moments(one, one, np.asarray(0.0))  # v = u
    >>> bool(mixed == 0), bool(np.isclose(both, one / 2, rtol=1e-9))
    (True, True)
    """
    mixed, both = integral(
        _direction, DIRECTIONS, safe_sqrt(p), safe_sqrt(q), theta, pi - theta
    )
    return theta / (2 * pi) * mixed, (pi - theta) / (2 * pi) * both


def _direction(
    row: Array, u: Array, v: Array, theta: Array, rest: Array
) -> tuple[Array, Array]:
    """Both moments on one ray inside of their quadrants."""
    xp = array_namespace(u, v, theta)
    a, b = u * xp.sin(row[0] * theta), v * xp.sin((1 - row[0]) * theta)
    # Mirrored, the quadrant u < 0 < v runs through the same directions backwards.
    a_, b_ = u * xp.sin((1 - row[0]) * theta), v * xp.sin(row[0] * theta)
    below_u, below_v = u * xp.sin(row[0] * rest), v * xp.sin((1 - row[0]) * rest)
    mixed, both = 0 * a * b, 0 * a * b
    for r, w in zip(*_radii(), strict=True):
        mixed = mixed + w / r * (a * xp.expm1(-r * b) + b_ * xp.expm1(-r * a_))
        both = both + w / r**2 * xp.expm1(-r * below_u) * xp.expm1(-r * below_v)
    return row[1] * mixed, row[1] * both


def any_small(p: Array, q: Array) -> bool:
    """Whether there may be a pair of variances below ``SMALL``."""
    xp = array_namespace(p, q)
    least = backend_of(p).known(xp.max(xp.stack([xp.min(p), xp.min(q)])))
    return least is None or least < SMALL


@lru_cache(maxsize=1)
def _radii() -> tuple[list[float], list[float]]:
    r"""The Gauss rule of r^3 e^{-r^2 / 2} dr."""
    x, w = legendre(200)
    r = 14 * x
    nodes, weights = gauss(r, 14 * w * r**3 * np.exp(-0.5 * r**2), RADII)
    return nodes.tolist(), weights.tolist()
