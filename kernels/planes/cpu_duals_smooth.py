r"""Duals of smooth activations in closed form, on lanes; see ``cpu_duals.py``."""

from math import pi

from .cpu_lanes import fma, inner, load, magnitude, splat, sqrt, where_less
from .cpu_special import arcsin, exp, exp_minus_1

# a erf(b x) + c. Parameters B = b^2, A = 2 a^2 / pi, c^2; map 1 is 1 / sqrt(1 + 2 B p).
# With D = (1 + 2 B p)(1 + 2 B q) - 4 B^2 c^2, k = A arcsin(2 B c / sqrt(..)) + c^2.


@inner
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


@inner
def erf(c, det, M, at1, part1, N, at2, part2, par, o):
    k, i = _erf(c, det, M, at1, part1, N, at2, part2, par, o)
    return k, splat(c, 2.0 * par[o] * par[o + 1]) * i


@inner
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


@inner
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


@inner
def gelu(c, det, M, at1, part1, N, at2, part2, par, o):
    B = splat(c, par[o])
    r1, r2 = load(M, at1 + part1), load(N, at2 + part2)
    p, q = B * load(M, at1), B * load(N, at2)
    k, slope, _, _ = _gelu(B * c, B * B * det, p, q, r1, r2)
    return k * splat(c, 1.0 / par[o]), slope


@inner
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


@inner
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
# Parameters a, b, h, m.


@inner
def _mixed(c, large, tilt, a, b):
    """a e^{L + |t|} + b e^{L - |t|}, a and b exchanged for c < 0; large = e^{L + |t|}.

    Written so that odd functions, a + b = 0, lose nothing near t = 0, and no infinity
    is subtracted or multiplied by 0.
    """
    zero = splat(c, 0.0)
    second = where_less(c, zero, a, b)
    ratio = fma(second, exp_minus_1(zero - tilt - tilt), a + b)
    return where_less(zero, magnitude(ratio), large * ratio, zero)


@inner
def exponential(c, det, M, at1, part1, N, at2, part2, par, o):
    m = splat(c, par[o + 3])
    a, b = splat(c, par[o]), splat(c, par[o + 1])
    tilt = m * magnitude(c)
    large = exp(fma(splat(c, par[o + 2]), load(M, at1) + load(N, at2), tilt))
    k = _mixed(c, large, tilt, a, b)
    return k, m * _mixed(c, large, tilt, a, splat(c, 0.0) - b)


@inner
def exponential_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    k, slope = exponential(c, det, M, at1, part1, N, at2, part2, par, o)
    h, m = splat(c, par[o + 2]), splat(c, par[o + 3])
    return k, slope, slope, m * m * k, h * k, h * k, h * slope, h * slope


# a e^{-s x^2} sin(b x + phase). Parameters s, S = b^2 / 2, w = cos(2 phase), a^2. With
# D = (1 + 2 s p)(1 + 2 s q) - 4 s^2 c^2, k = a^2 (e^{L(+)} - w e^{L(-)}) / 2, where
# L(+-) = -S (p + q + 4 s det -+ 2 c) / D - ln(D) / 2.


@inner
def _damped(c, det, p, q, s, S):
    """1 / D, D_c / D, and the mean of the two exponents without -ln(D) / 2."""
    two, ss4 = splat(c, 2.0), splat(c, 4.0) * s * s
    i = splat(c, 1.0) / fma(two * s, p + q, fma(ss4, det, splat(c, 1.0)))
    mean = splat(c, 0.0) - S * fma(splat(c, 4.0) * s, det, p + q) * i
    return i, splat(c, 0.0) - two * ss4 * c * i, mean


@inner
def _damped_parts(c, i, mean, S, par, o):
    """a^2 (e^{L(+)} - w e^{L(-)}) / 2, and a^2 (e^{L(+)} + w e^{L(-)}) / 2."""
    tilt = splat(c, 2.0) * S * magnitude(c) * i
    large = exp(mean + tilt) * sqrt(i)
    a = splat(c, 0.5 * par[o + 3])
    b = a * splat(c, par[o + 2])
    return _mixed(c, large, tilt, a, splat(c, 0.0) - b), _mixed(c, large, tilt, a, b)


@inner
def damped(c, det, M, at1, part1, N, at2, part2, par, o):
    p, q = load(M, at1), load(N, at2)
    s, S = splat(c, par[o]), splat(c, par[o + 1])
    i, d_c, mean = _damped(c, det, p, q, s, S)
    k, other = _damped_parts(c, i, mean, S, par, o)
    mean_c, tilt_c = _damped_slopes(c, i, d_c, mean, s, S)
    return k, fma(mean_c, k, tilt_c * other)


@inner
def _damped_slopes(c, i, d_c, mean, s, S):
    """A_c and B_c, where L(+-) = A +- B: k_c = A_c k + B_c other."""
    half, two, eight = splat(c, 0.5), splat(c, 2.0), splat(c, 8.0)
    mean_c = fma(eight * s * S * c, i, splat(c, 0.0) - d_c * (mean + half))
    return mean_c, two * S * i * (splat(c, 1.0) - c * d_c)


@inner
def _damped_in_p(c, i, d_c, mean, q, s, S):
    """A_p, B_p, A_cp and B_cp."""
    zero, half, one, two = splat(c, 0.0), splat(c, 0.5), splat(c, 1.0), splat(c, 2.0)
    d_p = two * s * i * fma(two * s, q, one)
    own_p = S * i * fma(splat(c, 4.0) * s, q, one)
    mean_p = zero - own_p - d_p * (mean + half)
    tilt = two * S * c * i
    # D_c depends on p through 1 / D alone, so (D_c / D)_p = -d_c d_p.
    mean_cp = d_c * d_p * (mean + half) - d_c * (zero - own_p - d_p * mean)
    mean_cp = mean_cp - splat(c, 8.0) * s * S * c * i * d_p
    tilt_cp = two * S * i * d_p * (two * c * d_c - one)
    return mean_p, zero - tilt * d_p, mean_cp, tilt_cp


@inner
def damped_partials(c, det, M, at1, part1, N, at2, part2, par, o):
    p, q = load(M, at1), load(N, at2)
    s, S, two = splat(c, par[o]), splat(c, par[o + 1]), splat(c, 2.0)
    i, d_c, mean = _damped(c, det, p, q, s, S)
    k, other = _damped_parts(c, i, mean, S, par, o)
    A_c, B_c = _damped_slopes(c, i, d_c, mean, s, S)
    A_p, B_p, A_cp, B_cp = _damped_in_p(c, i, d_c, mean, q, s, S)
    A_q, B_q, A_cq, B_cq = _damped_in_p(c, i, d_c, mean, p, s, S)
    slope, other_c = A_c * k + B_c * other, A_c * other + B_c * k
    k_p, other_p = A_p * k + B_p * other, A_p * other + B_p * k
    k_q, other_q = A_q * k + B_q * other, A_q * other + B_q * k
    # With (D_c / D)_c = -(8 s^2 / D + d_c^2) and mean' = 8 s S c / D - d_c mean:
    d_cc = splat(c, 0.0) - splat(c, 8.0) * s * s * i - d_c * d_c
    half, inner = splat(c, 0.5), splat(c, 8.0) * s * S * i
    bare_c = inner * c - d_c * mean
    A_cc = inner - inner * c * d_c - d_cc * (mean + half) - d_c * bare_c
    B_cc = two * S * i * (splat(c, 0.0) - d_c - c * d_cc - d_c + c * d_c * d_c)
    return (
        k,
        slope,
        slope,
        A_cc * k + A_c * slope + B_cc * other + B_c * other_c,
        k_p,
        k_q,
        A_cp * k + A_c * k_p + B_cp * other + B_c * other_p,
        A_cq * k + A_c * k_q + B_cq * other + B_c * other_q,
    )


# Polynomials of n coefficients (the parameter). Map 1 + d n + l is R_l of the d-th
# derivative of f: E[f^(d)(u) f^(e)(v)] = sum_l R_l^d(p) R_l^e(q) c^l.


@inner
def _series(d, e, n, c, M, at1, part1, N, at2, part2):
    total = splat(c, 0.0)
    for order in range(n - 1, -1, -1):
        left = load(M, at1 + (1 + d * n + order) * part1)
        right = load(N, at2 + (1 + e * n + order) * part2)
        total = fma(total, c, left * right)
    return total


@inner
def polynomial(c, det, M, at1, part1, N, at2, part2, par, o):
    n = int(par[o])
    return (
        _series(0, 0, n, c, M, at1, part1, N, at2, part2),
        _series(1, 1, n, c, M, at1, part1, N, at2, part2),
    )


@inner
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
