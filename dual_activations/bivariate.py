r"""The bivariate normal distribution function, to rounding at every correlation."""

from math import pi, sqrt
from typing import Any

from array_api_compat import array_namespace

from .quadrature import integral
from .special import ndtr

Array = Any
POINTS = 32
# P(g < -10) = 8e-24: beyond, the distribution function is 0 or 1 to rounding.
FAR = 10.0


def bivariate_ndtr(h: Array, k: Array, rho: Array) -> Array:
    r"""P(U < h, V < k) of standard normal U, V with correlation rho.

    The absolute error is about 1e-14 (float64) for all arguments, also at rho = +-1.

    Args:
        h, k: limits, any shape that broadcasts.
        rho: correlation in [-1, 1]. Its derivative is finite; at rho = +-1, where the
            true one may be infinite, it is taken as 0.

    Reference: Drezner & Wesolowsky 1990 and Genz 2004, in the angle (see
    ``bivariate_ndtr_of_angle``).

    >>> import numpy as np
    >>> h, k = np.asarray(0.3), np.asarray(-1.2)
    >>> bool(np.isclose(bivariate_ndtr(h, k, np.asarray(1.0)), ndtr(k), rtol=1e-14))
    True
    """
    xp = array_namespace(h, k, rho)
    squared = (1 - rho) * (1 + rho)
    inside = squared > 0
    sine = xp.sqrt(xp.where(inside, squared, xp.ones_like(squared)))
    sine = xp.where(inside, sine, xp.zeros_like(sine))
    return bivariate_ndtr_of_angle(h, k, xp.atan2(sine, rho))


def bivariate_ndtr_of_angle(h: Array, k: Array, theta: Array) -> Array:
    r"""P(U < h, V < k) of standard normal U, V with correlation cos(theta).

    For theta <= pi / 2 and b = |h - k|,

    .. math::
        \Phi_2 = \Phi(\min(h, k)) - \frac{1}{2 \pi} \int_0^\theta
            \exp\left(-\frac{b^2}{2 \sin^2 t} - \frac{hk}{1 + \cos t}\right) dt,

    and Phi_2(h, k; theta) = Phi(h) - Phi_2(h, -k; pi - theta) beyond. The integrand
    steps up at t = b, arbitrarily close to 0. The first three terms of its expansion in
    x = sin t are integrated in closed form, and Gauss-Legendre takes the rest, where
    the step is weighted with x^6.

    Reference: Genz 2004, "Numerical computation of rectangular bivariate and trivariate
    normal and t probabilities", eq. 3 and section 2.4, there for rho > 0.925 alone.
    """
    xp = array_namespace(h, k, theta)
    h, k = xp.clip(h, -FAR, FAR), xp.clip(k, -FAR, FAR)
    wide = theta > pi / 2
    k = xp.where(wide, -k, k)
    acute = xp.where(wide, pi - theta, theta)
    below = xp.where(h < k, h, k)
    near = ndtr(below) - _sector(h - k, h * k, acute) / (2 * pi)
    return xp.where(wide, ndtr(h) - near, near)


def _sector(b: Array, hk: Array, theta: Array) -> Array:
    """The integral over t in (0, theta) of ``bivariate_ndtr_of_angle``."""
    xp = array_namespace(b, hk, theta)
    b = xp.where(b < 0, -b, b)
    c1 = (4 - hk) / 8
    c2 = c1 * (12 - hk) / 16
    (rest,) = integral(_rest, POINTS, b, hk, theta, c1, c2)

    # i_n is the integral over x in (0, a) of exp(-hk/2 - b^2/2x^2) x^{2n}.
    a = xp.sin(theta)
    ratio = _ratio(b, a)
    edge = xp.exp(-0.5 * ratio**2 - hk / 2)
    i0 = a * edge - sqrt(2 * pi) * b * xp.exp(-hk / 2) * ndtr(-ratio)
    i1 = (a**3 * edge - b * b * i0) / 3
    i2 = (a**5 * edge - b * b * i1) / 5
    return rest + i0 + c1 * i1 + c2 * i2


def _rest(
    row: Array, b: Array, hk: Array, theta: Array, c1: Array, c2: Array
) -> tuple[Array]:
    """The integrand at the angle t = node theta, less its expansion in x = sin t."""
    xp = array_namespace(b, hk, theta)
    t = row[0] * theta
    x, cosine = xp.sin(t), xp.cos(t)
    step = -0.5 * _ratio(b, x) ** 2
    exact = xp.exp(step - hk / (1 + cosine))
    expansion = 1 + x * x * (c1 + x * x * c2)
    return (row[1] * theta * (exact - xp.exp(step - hk / 2) * cosine * expansion),)


def _ratio(b: Array, x: Array) -> Array:
    """min(b / x, 40) for b, x >= 0; exp(-40^2 / 2) is 0 in every precision, and its
    product with exp(-hk / 2), where hk >= -b^2 / 4, is as well."""
    xp = array_namespace(b, x)
    close = b < 40 * x
    ratio = b / xp.where(close, x, xp.ones_like(x))
    return xp.where(close, ratio, xp.full_like(ratio, 40.0))
