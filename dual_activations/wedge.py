r"""Exponential moments of a Gaussian pair over a quadrant, without overflow.

For independent standard normal (x, y), the quadrant {u < 0, v < 0} of a correlated pair
is a wedge, and weighting it with e^u or e^{u + v} moves its apex away from the origin.
The weight e^{R^2/2} of a shift by R cancels against the density there; what remains are
the two integrals below, smooth and at most sqrt(pi / 2) and 1/4 for every R >= 0.
"""

from math import pi, sqrt
from typing import Any

from array_api_compat import array_namespace

from .quadrature import integral
from .special import erf

Array = Any
POINTS = 28
# exp(-38) is 0 beside 1 in float64.
NOTHING = 38.0


def mills_ratio(r: Array) -> Array:
    r"""M(R) = Phi(-R) / phi(R) = int_0^infty exp(-R z - z^2/2) dz, for R >= 0.

    >>> import numpy as np
    >>> bool(np.isclose(mills_ratio(np.asarray(0.0)) ** 2, pi / 2, rtol=1e-14))
    True
    """
    xp = array_namespace(r)
    reach = 2 * NOTHING / (xp.sqrt(r * r + 2 * NOTHING) + r)
    return reach * integral(_decay, POINTS, r, reach)[0]


def mills_decline(r: Array) -> Array:
    r"""M(0) - M(R), accurate also for small R.

    >>> import numpy as np
    >>> bool(np.isclose(mills_decline(np.asarray(1e-9)), 1e-9, rtol=1e-8))
    True
    """
    xp = array_namespace(r)
    near = r < 1
    (small,) = integral(_rise, POINTS, xp.where(near, r, xp.ones_like(r)))
    return xp.where(near, small, sqrt(pi / 2) - mills_ratio(r))


def scaled_wedge(r: Array, sine: Array, cosine: Array) -> Array:
    r"""e^{R^2/2} times the probability of the wedge {x > R, 0 < y < (x - R) tan(psi)}:

    .. math::
        B(R, \psi) = \int_0^\infty \phi(z) e^{-R z} [\Phi(z \tan\psi) - 1/2] dz

    with phi and Phi the normal density and distribution, for R >= 0 and psi in
    [-pi / 2, pi / 2]. It is odd in psi, B(0, psi) = psi / (2 pi), and B(R, pi / 2) is
    M(R) / sqrt(8 pi).

    The substitution z = w cos(psi) leaves no tangent. Beyond pi / 4 the integral of
    Phi(-z tan(psi)) is taken from the limit psi = pi / 2, so that the integrand
    decays from w = 0 on whatever R and psi are.

    Args:
        r: R, the distance of the apex.
        sine, cosine: sin(psi), cos(psi) with cosine >= 0.

    >>> import numpy as np
    >>> half = np.sqrt(np.asarray(0.5))
    >>> bool(np.isclose(8 * scaled_wedge(0 * half, half, half), 1.0, rtol=1e-14))
    True
    """
    xp = array_namespace(r, sine, cosine)
    flip = sine < 0
    sine = xp.where(flip, -sine, sine)
    steep = xp.where(sine > cosine, xp.ones_like(sine), xp.zeros_like(sine))
    drift = r * cosine
    reach = 2 * NOTHING / (xp.sqrt(drift * drift + NOTHING) + drift)
    rest = integral(_decay_times_error, POINTS, drift, reach, sine, cosine, steep)[0]
    wedge = (steep * mills_ratio(r) + cosine * reach * rest) / sqrt(8 * pi)
    return xp.where(flip, -wedge, wedge)


def _decay(row: Array, r: Array, reach: Array) -> tuple[Array]:
    z = row[0] * reach
    return (row[1] * array_namespace(r).exp(-z * (r + z / 2)),)


def _rise(row: Array, r: Array) -> tuple[Array]:
    z = row[0] * sqrt(2 * NOTHING)
    weight = row[1] * sqrt(2 * NOTHING)
    xp = array_namespace(r)
    return (-weight * xp.exp(-(z * z) / 2 + 0 * r) * xp.expm1(-r * z),)


def _decay_times_error(
    row: Array, drift: Array, reach: Array, sine: Array, cosine: Array, steep: Array
) -> tuple[Array]:
    w = row[0] * reach
    density = array_namespace(w).exp(-w * (drift + w * cosine**2 / 2))
    return (row[1] * density * (erf(w * (sine / sqrt(2))) - steep),)
