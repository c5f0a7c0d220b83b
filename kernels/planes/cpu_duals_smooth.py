r"""Duals of smooth activations in closed form, on lanes; see ``cpu_duals.py``."""

from math import pi

from numba import njit

from .cpu_lanes import fma, load, magnitude, splat, sqrt, where_less
from .cpu_special import arcsin, exp

# a erf(b x) + c. Parameters B = b^2, A = 2 a^2 / pi, c^2; map 1 is 1 / sqrt(1 + 2 B p).
# With D = (1 + 2 B p)(1 + 2 B q) - 4 B^2 c^2, k = A arcsin(2 B c / sqrt(..)) + c^2.


@njit(forceinline=True)
def _erf(c, det, M, at1, part1, N, at2, part2, par, o):
    """k, and 1 / sqrt(D)."""
    B = splat(c, par[o])
    two_B = B + B
    inner = fma(two_B, load(M, at1) + load(N, at2), splat(c, 1.0))
    root = sqrt(fma(two_B * two_B, det, inner))
    ij = load(M, at1 + part1) * load(N, at2 + part2)
    k = fma(
        splat(c, par[o + 1]), arcsin(two_B * c * ij, root * ij), splat(c, par[o + 2])
    )
    return k, splat(c, 1.0) / root


@njit(forceinline=True)
def erf(c, det, M, at1, part1, N, at2, part2, par, o):
    k, i = _erf(c, det, M, at1, part1, N, at2, part2, par, o)
    return k, splat(c, 2.0 * par[o] * par[o + 1]) * i


@njit(forceinline=True)
def erf_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, i = _erf(c, det, M, at1, part1, N, at2, part2, par, o)
    B, two, one = splat(c, par[o]), splat(c, 2.0), splat(c, 1.0)
    r1, r2 = load(M, at1 + part1), load(N, at2 + part2)
    slope = two * B * splat(c, par[o + 1]) * i
    k_log = splat(c, 0.0) - slope * B * c
    both = slope * (i * i) * B
    p_side = fma(two * B, load(N, at2), one)
    q_side = fma(two * B, load(M, at1), one)
    return (
        k,
        slope,
        slope,
        both * splat(c, 4.0) * B * c,
        k_log * (r1 * r1),
        k_log * (r2 * r2),
        splat(c, 0.0) - both * p_side,
        splat(c, 0.0) - both * q_side,
    )


# x Phi(b x). Parameter B = b^2; map 1 is 1 / sqrt(1 + B p). With p, q, c scaled by B,
# P = 1 + p, Q = 1 + q and D = P Q - c^2, the formulas below hold and k is divided by B.
# Reference: Tsuchida et al. 2020 (2002.08517).


@njit(forceinline=True)
def _gelu(c, det, p, q, r1, r2):
    """k, k_dot, 1 / sqrt(D), 1 / (P Q), at scaled covariances."""
    one, quarter, turn = splat(c, 1.0), splat(c, 0.25), splat(c, 0.5 / pi)
    D = one + p + q + det
    root = sqrt(D)
    i = one / root
    ij = r1 * r2
    PQ = ij * ij
    tilt = arcsin(c * ij, root * ij)
    slope_tail = i * i + fma(one - p * q, PQ, one)
    slope = fma(turn, fma(c * i, slope_tail, tilt), quarter)
    ratio = fma(p * q, D, c * c) * PQ * i
    return fma(quarter, c, turn * fma(c, tilt, ratio)), slope, i, PQ


@njit(forceinline=True)
def gelu(c, det, M, at1, part1, N, at2, part2, par, o):
    B = splat(c, par[o])
    r1, r2 = load(M, at1 + part1), load(N, at2 + part2)
    p, q = B * load(M, at1), B * load(N, at2)
    k, slope, _, _ = _gelu(B * c, B * B * det, p, q, r1, r2)
    return k * splat(c, 1.0 / par[o]), slope


@njit(forceinline=True)
def _gelu_in_p(c, p, q, r1, i):
    """k_p and k_dot_p, at scaled covariances: moments under Gaussians tilted by the
    density that f'' and f''' carry, once in u alone and once in u and v."""
    one, two, three, four = splat(c, 1.0), splat(c, 2.0), splat(c, 3.0), splat(c, 4.0)
    turn = splat(c, 0.25 / pi)
    j = r1 * r1
    pt, ct = p * j, c * j
    qt = q - c * ct
    ii = i * i
    inner = two - qt * ii * (one / j)
    k_p = turn * i * ((two - pt) * qt - ct * ct * inner)
    once = i * ct * (three * pt - four) - ct * ct * ct * (one / j) * (ii * i)
    Q = one + q
    both_p, both_c = one - Q * ii, c * ii
    twice = i * both_c * (three * both_p - four)
    return k_p, turn * (once + twice)


@njit(forceinline=True)
def gelu_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    B, one = splat(c, par[o]), splat(c, 1.0)
    r1, r2 = load(M, at1 + part1), load(N, at2 + part2)
    p, q, cB = B * load(M, at1), B * load(N, at2), B * c
    k, slope, i, _ = _gelu(cB, B * B * det, p, q, r1, r2)
    k_p, slope_p = _gelu_in_p(cB, p, q, r1, i)
    k_q, slope_q = _gelu_in_p(cB, q, p, r2, i)
    ii = i * i
    both_p, both_q, both_c = one - (one + q) * ii, one - (one + p) * ii, cB * ii
    two, four = splat(c, 2.0), splat(c, 4.0)
    moment = four - two * (both_p + both_q) + both_p * both_q + two * both_c * both_c
    return (
        k * splat(c, 1.0 / par[o]),
        slope,
        slope,
        B * splat(c, 0.5 / pi) * i * moment,
        k_p,
        k_q,
        B * slope_p,
        B * slope_q,
    )


# k = a e^{h (p + q) + m c} + b e^{h (p + q) - m c}: sines, exponentials, sinh, cosh.
# Parameters a, b, h, m. The larger power is a common factor: no infinity is subtracted.


@njit(forceinline=True)
def exponential(c, det, M, at1, part1, N, at2, part2, par, o):
    zero, m = splat(c, 0.0), splat(c, par[o + 3])
    a, b = splat(c, par[o]), splat(c, par[o + 1])
    tilt = m * magnitude(c)
    larger = exp(fma(splat(c, par[o + 2]), load(M, at1) + load(N, at2), tilt))
    ratio = exp(zero - tilt - tilt)
    plus = where_less(c, zero, a * ratio, a)
    minus = where_less(c, zero, b, b * ratio)
    return _product(larger, plus + minus), m * _product(larger, plus - minus)


@njit(forceinline=True)
def _product(x, y):
    """x y, and 0 where y is 0 and x infinite."""
    zero = splat(x, 0.0)
    return where_less(zero, magnitude(y), x * y, zero)


@njit(forceinline=True)
def exponential_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, slope = exponential(c, det, M, at1, part1, N, at2, part2, par, o)
    h, m = splat(c, par[o + 2]), splat(c, par[o + 3])
    return k, slope, slope, m * m * k, h * k, h * k, h * slope, h * slope


# a e^{-s x^2} sin(b x + phase). Parameters s, S = b^2 / 2, w = cos(2 phase), a^2. With
# D = (1 + 2 s p)(1 + 2 s q) - 4 s^2 c^2, k = a^2 (e^{L(+)} - w e^{L(-)}) / 2, where
# L(+-) = -S (p + q + 4 s det -+ 2 c) / D - ln(D) / 2.


@njit(forceinline=True)
def _damped(c, det, p, q, s, S, sign):
    """e^{L(sign)} and the derivatives of L: L_c, L_cc, L_p, L_q, L_cp, L_cq."""
    one, two, four = splat(c, 1.0), splat(c, 2.0), splat(c, 4.0)
    zero, half = splat(c, 0.0), splat(c, 0.5)
    s4, ss8 = four * s, splat(c, 8.0) * s * s
    D = one + two * s * (p + q) + four * s * s * det
    i = one / D
    n = (p + q + s4 * det - two * sign * c) * i
    D_c, D_p, D_q = zero - ss8 * c, two * s + ss8 * half * q, two * s + ss8 * half * p
    d_c, d_p, d_q = D_c * i, D_p * i, D_q * i
    n_c = (zero - two * s4 * c - two * sign) * i - n * d_c
    n_p = (one + s4 * q) * i - n * d_p
    n_q = (one + s4 * p) * i - n * d_q
    n_cc = (zero - two * s4) * i - two * n_c * d_c + n * ss8 * i
    n_cp, n_cq = zero - n_p * d_c - n_c * d_p, zero - n_q * d_c - n_c * d_q
    return (
        exp(zero - S * n) * sqrt(i),
        zero - S * n_c - half * d_c,
        half * (d_c * d_c + ss8 * i) - S * n_cc,
        zero - S * n_p - half * d_p,
        zero - S * n_q - half * d_q,
        half * d_c * d_p - S * n_cp,
        half * d_c * d_q - S * n_cq,
    )


@njit(forceinline=True)
def damped(c, det, M, at1, part1, N, at2, part2, par, o):
    p, q = load(M, at1), load(N, at2)
    s, S, one = splat(c, par[o]), splat(c, par[o + 1]), splat(c, 1.0)
    scale = splat(c, 0.5 * par[o + 3])
    plus, plus_c, _, _, _, _, _ = _damped(c, det, p, q, s, S, one)
    minus, minus_c, _, _, _, _, _ = _damped(c, det, p, q, s, S, splat(c, -1.0))
    minus = minus * splat(c, par[o + 2])
    return scale * (plus - minus), scale * (plus * plus_c - minus * minus_c)


@njit(forceinline=True)
def damped_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    p, q = load(M, at1), load(N, at2)
    s, S, one = splat(c, par[o]), splat(c, par[o + 1]), splat(c, 1.0)
    scale = splat(c, 0.5 * par[o + 3])
    e, ec, ecc, ep, eq, ecp, ecq = _damped(c, det, p, q, s, S, one)
    f, fc, fcc, fp, fq, fcp, fcq = _damped(c, det, p, q, s, S, splat(c, -1.0))
    e, f = scale * e, scale * splat(c, par[o + 2]) * f
    slope = e * ec - f * fc
    return (
        e - f,
        slope,
        slope,
        e * (ec * ec + ecc) - f * (fc * fc + fcc),
        e * ep - f * fp,
        e * eq - f * fq,
        e * (ec * ep + ecp) - f * (fc * fp + fcp),
        e * (ec * eq + ecq) - f * (fc * fq + fcq),
    )


# Polynomials of n coefficients (the parameter). Map 1 + d n + l is R_l of the d-th
# derivative of f: E[f^(d)(u) f^(e)(v)] = sum_l R_l^d(p) R_l^e(q) c^l.


@njit(forceinline=True)
def _series(d, e, n, c, M, at1, part1, N, at2, part2):
    total = splat(c, 0.0)
    for order in range(n - 1, -1, -1):
        left = load(M, at1 + (1 + d * n + order) * part1)
        right = load(N, at2 + (1 + e * n + order) * part2)
        total = fma(total, c, left * right)
    return total


@njit(forceinline=True)
def polynomial(c, det, M, at1, part1, N, at2, part2, par, o):
    n = int(par[o])
    return (
        _series(0, 0, n, c, M, at1, part1, N, at2, part2),
        _series(1, 1, n, c, M, at1, part1, N, at2, part2),
    )


@njit(forceinline=True)
def polynomial_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    n = int(par[o])
    k, slope = polynomial(c, det, M, at1, part1, N, at2, part2, par, o)
    half = splat(c, 0.5)
    return (
        k,
        slope,
        slope,
        _series(2, 2, n, c, M, at1, part1, N, at2, part2),
        half * _series(2, 0, n, c, M, at1, part1, N, at2, part2),
        half * _series(0, 2, n, c, M, at1, part1, N, at2, part2),
        half * _series(3, 1, n, c, M, at1, part1, N, at2, part2),
        half * _series(1, 3, n, c, M, at1, part1, N, at2, part2),
    )
