r"""Duals that depend on the angle between two inputs, on lanes; see ``cpu_duals.py``.

Map 1 is 1 / sqrt(p), 0 for a zero row. Each of them is homogeneous: with the degree n
of f, k(s^2 p, q, s c) = s^n k(p, q, c), which gives the derivatives in p and q.
"""

from math import pi

from .arccosine_polynomials import arccosine_polynomials
from .cpu_arccosine import angle_ratio
from .cpu_lanes import fma, inner, larger, load, smaller, splat, sqrt, where_less
from .cpu_special import arcsin, exp
from .families import HIGHEST_POWER


@inner
def determinant(p, q, c):
    """max(p q - c^2, 0) to rounding, exactly 0 where c = p = q."""
    zero = splat(c, 0.0)
    square = c * c
    lost = fma(c, c, zero - square)
    return larger(fma(p, q, zero - square) - lost, zero)


@inner
def inverse(x):
    """1 / x for x > 0, else 0."""
    zero, one = splat(x, 0.0), splat(x, 1.0)
    return where_less(zero, x, one / where_less(zero, x, x, one), zero)


@inner
def _angle(c, det, ij):
    """theta = arccos(c / sqrt(p q)), pi / 2 for a zero row, and sin(theta) sqrt(p q).

    ``ij`` is 1 / sqrt(p q).
    """
    zero = splat(c, 0.0)
    sine = sqrt(det)
    size = where_less(c, zero, zero - c, c)
    acute = sine * ij * angle_ratio(c, smaller(size * ij, splat(c, 1.0)))
    acute = where_less(zero, ij, acute, splat(c, pi / 2))
    return where_less(c, zero, splat(c, pi) - acute, acute), sine


@inner
def _homogeneous(n, c, k, slope, k_c, slope_c, i, j):
    """All partials; 2 p k_p = n k - c k_c, and the slope has degree n - 1."""
    half = splat(c, 0.5)
    k_log = half * (splat(c, n) * k - c * k_c)
    slope_log = half * (splat(c, n - 1.0) * slope - c * slope_c)
    ii, jj = i * i, j * j
    return (
        k,
        slope,
        k_c,
        slope_c,
        k_log * ii,
        k_log * jj,
        slope_log * ii,
        slope_log * jj,
    )


# Rectifiers, f(x) = a min(x, 0) + b max(x, 0). Parameters g = (a - b)^2 / 2 pi and
# m = (a^2 + b^2) / 2: k_dot = m - g theta, k = g sqrt(det) + k_dot c.


@inner
def rectifier(c, det, M, at1, part1, N, at2, part2, par, o):
    theta, sine = _angle(c, det, load(M, at1 + part1) * load(N, at2 + part2))
    g = splat(c, par[o])
    slope = splat(c, par[o + 1]) - g * theta
    return fma(g, sine, slope * c), slope


@inner
def rectifier_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, slope = rectifier(c, det, M, at1, part1, N, at2, part2, par, o)
    slope_c = splat(c, par[o]) * inverse(sqrt(det))
    i, j = load(M, at1 + part1), load(N, at2 + part2)
    return _homogeneous(1.0, c, k, slope, slope, slope_c, i, j)


# Sign and step, k = (2 / pi) arcsin(rho) and 1/4 + arcsin(rho) / 2 pi. The derivative
# of f is 0 almost everywhere, so k_dot is 0, but k has a derivative.


@inner
def sign(c, det, M, at1, part1, N, at2, part2, par, o):
    ij = load(M, at1 + part1) * load(N, at2 + part2)
    return splat(c, 2 / pi) * arcsin(c * ij, sqrt(det) * ij), splat(c, 0.0)


@inner
def sign_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, zero = sign(c, det, M, at1, part1, N, at2, part2, par, o)
    k_c = splat(c, 2 / pi) * inverse(sqrt(det))
    i, j = load(M, at1 + part1), load(N, at2 + part2)
    return _homogeneous(0.0, c, k, zero, k_c, zero, i, j)


@inner
def step(c, det, M, at1, part1, N, at2, part2, par, o):
    odd, zero = sign(c, det, M, at1, part1, N, at2, part2, par, o)
    return fma(splat(c, 0.25), odd, splat(c, 0.25)), zero


@inner
def step_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, zero = step(c, det, M, at1, part1, N, at2, part2, par, o)
    k_c = splat(c, 0.5 / pi) * inverse(sqrt(det))
    i, j = load(M, at1 + part1), load(N, at2 + part2)
    return _homogeneous(0.0, c, k, zero, k_c, zero, i, j)


# Rectified powers, f(x) = max(x, 0)^n, 2 <= n. Maps 2 and 3 are p^(n/2), p^((n-1)/2).

_A, _B = arccosine_polynomials(HIGHEST_POWER)


@inner
def _arccosine(n, rho, theta, sine):
    """J_n / 2 pi."""
    a, b = splat(rho, 0.0), splat(rho, 0.0)
    for order in range(n, -1, -1):
        a = fma(a, rho, splat(rho, _A[n, order]))
        b = fma(b, rho, splat(rho, _B[n, order]))
    return splat(rho, 0.5 / pi) * fma(a, splat(rho, pi) - theta, b * sine)


@inner
def power(c, det, M, at1, part1, N, at2, part2, par, o):
    n = int(par[o])
    ij = load(M, at1 + part1) * load(N, at2 + part2)
    theta, sine = _angle(c, det, ij)
    rho = c * ij
    scale = load(M, at1 + 2 * part1) * load(N, at2 + 2 * part2)
    slope_scale = load(M, at1 + 3 * part1) * load(N, at2 + 3 * part2)
    slope_scale = slope_scale * splat(c, float(n * n))
    return (
        scale * _arccosine(n, rho, theta, sine * ij),
        slope_scale * _arccosine(n - 1, rho, theta, sine * ij),
    )


@inner
def power_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    n = int(par[o])
    k, slope = power(c, det, M, at1, part1, N, at2, part2, par, o)
    i, j = load(M, at1 + part1), load(N, at2 + part2)
    ij = i * j
    theta, sine = _angle(c, det, ij)
    scale = load(M, at1 + 3 * part1) * load(N, at2 + 3 * part2) * ij
    scale = scale * splat(c, float((n * (n - 1)) ** 2))
    slope_c = scale * _arccosine(n - 2, c * ij, theta, sine * ij)
    return _homogeneous(float(n), c, k, slope, slope, slope_c, i, j)


# k = sqrt(p q) exp(gamma (rho + shift)). Map 2 is sqrt(p). Parameters gamma, shift.


@inner
def exp_normalized(c, det, M, at1, part1, N, at2, part2, par, o):
    rho = c * (load(M, at1 + part1) * load(N, at2 + part2))
    gamma = splat(c, par[o])
    e = exp(gamma * (rho + splat(c, par[o + 1])))
    return load(M, at1 + 2 * part1) * load(N, at2 + 2 * part2) * e, gamma * e


@inner
def exp_normalized_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, slope = exp_normalized(c, det, M, at1, part1, N, at2, part2, par, o)
    i, j = load(M, at1 + part1), load(N, at2 + part2)
    slope_c = splat(c, par[o]) * slope * (i * j)
    return _homogeneous(1.0, c, k, slope, slope, slope_c, i, j)
