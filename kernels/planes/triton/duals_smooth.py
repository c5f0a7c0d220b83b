r"""Duals of smooth activations in closed form, on tiles; see ``duals.py``."""

import triton
import triton.language as tl

from .elementary import PI, arcsin, exp, exp_minus_1

# a erf(b x) + c. Parameters B = b^2, A = 2 a^2 / pi, c^2; map 1 is 1 / sqrt(1 + 2 B p).
# With D = (1 + 2 B p)(1 + 2 B q) - 4 B^2 c^2, k = A arcsin(2 B c / sqrt(..)) + c^2.


@triton.jit
def _erf(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    """k, and 1 / sqrt(D)."""
    two_B: tl.constexpr = 2.0 * PAR[o][0]
    root = tl.sqrt(two_B * two_B * det + (two_B * (M[0] + N[0]) + 1.0))
    ij = M[1] * N[1]
    return PAR[o][1] * arcsin(two_B * c * ij, root * ij) + PAR[o][2], 1.0 / root


@triton.jit
def erf(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, i = _erf(c, det, M, N, PAR, o)
    return k, 2.0 * PAR[o][0] * PAR[o][1] * i


@triton.jit
def erf_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, i = _erf(c, det, M, N, PAR, o)
    B: tl.constexpr = PAR[o][0]
    slope = 2.0 * B * PAR[o][1] * i
    k_log = -slope * B * c
    both = slope * (i * i) * B
    return (
        k,
        slope,
        slope,
        both * (4.0 * B) * c,
        k_log * (M[1] * M[1]),
        k_log * (N[1] * N[1]),
        -both * (2.0 * B * N[0] + 1.0),
        -both * (2.0 * B * M[0] + 1.0),
    )


# x Phi(b x). Parameter B = b^2; map 1 is 1 / sqrt(1 + B p). With p, q, c scaled by B,
# P = 1 + p, Q = 1 + q and D = P Q - c^2, the formulas below hold and k is divided by B.
# Reference: Tsuchida et al. 2020 (2002.08517).


@triton.jit
def _gelu(c, det, p, q, r1, r2):
    """k, k_dot, 1 / sqrt(D), at scaled covariances."""
    D = 1.0 + p + q + det
    root = tl.sqrt(D)
    i = 1.0 / root
    ij = r1 * r2
    PQ = ij * ij
    tilt = arcsin(c * ij, root * ij)
    slope_tail = i * i + ((1.0 - p * q) * PQ + 1.0)
    slope = (c * i * slope_tail + tilt) * (0.5 / PI) + 0.25
    ratio = (p * q * D + c * c) * PQ * i
    return 0.25 * c + (c * tilt + ratio) * (0.5 / PI), slope, i


@triton.jit
def gelu(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    B: tl.constexpr = PAR[o][0]
    k, slope, _ = _gelu(B * c, B * B * det, B * M[0], B * N[0], M[1], N[1])
    return k * (1.0 / B), slope


@triton.jit
def _gelu_in_p(c, p, q, r1, i):
    """k_p and k_dot_p, at scaled covariances: moments under Gaussians tilted by the
    density that f'' and f''' carry, once in u alone and once in u and v."""
    j = r1 * r1
    pt, ct = p * j, c * j
    qt = q - c * ct
    ii = i * i
    inner = 2.0 - qt * ii * (1.0 / j)
    k_p = i * ((2.0 - pt) * qt - ct * ct * inner) * (0.25 / PI)
    once = i * ct * (3.0 * pt - 4.0) - ct * ct * ct * (1.0 / j) * (ii * i)
    both_p, both_c = 1.0 - (1.0 + q) * ii, c * ii
    twice = i * both_c * (3.0 * both_p - 4.0)
    return k_p, (once + twice) * (0.25 / PI)


@triton.jit
def gelu_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    B: tl.constexpr = PAR[o][0]
    p, q, cB = B * M[0], B * N[0], B * c
    k, slope, i = _gelu(cB, B * B * det, p, q, M[1], N[1])
    k_p, slope_p = _gelu_in_p(cB, p, q, M[1], i)
    k_q, slope_q = _gelu_in_p(cB, q, p, N[1], i)
    ii = i * i
    both_p, both_q, both_c = 1.0 - (1.0 + q) * ii, 1.0 - (1.0 + p) * ii, cB * ii
    moment = 4.0 - 2.0 * (both_p + both_q) + both_p * both_q + 2.0 * both_c * both_c
    return (
        k * (1.0 / B),
        slope,
        slope,
        B * i * moment * (0.5 / PI),
        k_p,
        k_q,
        B * slope_p,
        B * slope_q,
    )


# k = a e^{h (p + q) + m c} + b e^{h (p + q) - m c}: sines, exponentials, sinh, cosh.
# Parameters a, b, h, m.


@triton.jit
def _mixed(c, large, tilt, a: tl.constexpr, b: tl.constexpr):
    """a e^{L + |t|} + b e^{L - |t|}, a and b exchanged for c < 0; large = e^{L + |t|}.

    Written so that odd functions, a + b = 0, lose nothing near t = 0, and no infinity
    is subtracted or multiplied by 0.
    """
    second = tl.where(c < 0, tl.zeros_like(c) + a, tl.zeros_like(c) + b)
    ratio = second * exp_minus_1(-tilt - tilt) + (a + b)
    return tl.where(ratio != 0, large * ratio, 0.0)


@triton.jit
def exponential(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    a: tl.constexpr = PAR[o][0]
    b: tl.constexpr = PAR[o][1]
    tilt = PAR[o][3] * tl.abs(c)
    large = exp(PAR[o][2] * (M[0] + N[0]) + tilt)
    k = _mixed(c, large, tilt, a, b)
    return k, PAR[o][3] * _mixed(c, large, tilt, a, -b)


@triton.jit
def exponential_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, slope = exponential(c, det, M, N, PAR, o)
    h: tl.constexpr = PAR[o][2]
    m: tl.constexpr = PAR[o][3]
    return k, slope, slope, m * m * k, h * k, h * k, h * slope, h * slope


# a e^{-s x^2} sin(b x + phase). Parameters s, S = b^2 / 2, w = cos(2 phase), a^2. With
# D = (1 + 2 s p)(1 + 2 s q) - 4 s^2 c^2, k = a^2 (e^{L(+)} - w e^{L(-)}) / 2, where
# L(+-) = -S (p + q + 4 s det -+ 2 c) / D - ln(D) / 2.


@triton.jit
def _damped(c, det, p, q, s: tl.constexpr, S: tl.constexpr):
    """1 / D, D_c / D, and the mean of the two exponents without -ln(D) / 2."""
    i = 1.0 / (2.0 * s * (p + q) + (4.0 * s * s * det + 1.0))
    return i, -8.0 * s * s * c * i, -S * (4.0 * s * det + (p + q)) * i


@triton.jit
def _damped_parts(c, i, mean, PAR: tl.constexpr, o: tl.constexpr):
    """a^2 (e^{L(+)} - w e^{L(-)}) / 2, and a^2 (e^{L(+)} + w e^{L(-)}) / 2."""
    a: tl.constexpr = 0.5 * PAR[o][3]
    b: tl.constexpr = 0.5 * PAR[o][3] * PAR[o][2]
    tilt = 2.0 * PAR[o][1] * tl.abs(c) * i
    large = exp(mean + tilt) * tl.sqrt(i)
    return _mixed(c, large, tilt, a, -b), _mixed(c, large, tilt, a, b)


@triton.jit
def _damped_slopes(c, i, d_c, mean, s: tl.constexpr, S: tl.constexpr):
    """A_c and B_c, where L(+-) = A +- B: k_c = A_c k + B_c other."""
    return 8.0 * s * S * c * i - d_c * (mean + 0.5), 2.0 * S * i * (1.0 - c * d_c)


@triton.jit
def damped(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    i, d_c, mean = _damped(c, det, M[0], N[0], PAR[o][0], PAR[o][1])
    k, other = _damped_parts(c, i, mean, PAR, o)
    mean_c, tilt_c = _damped_slopes(c, i, d_c, mean, PAR[o][0], PAR[o][1])
    return k, mean_c * k + tilt_c * other


@triton.jit
def _damped_in_p(c, i, d_c, mean, q, s: tl.constexpr, S: tl.constexpr):
    """A_p, B_p, A_cp and B_cp."""
    d_p = 2.0 * s * i * (2.0 * s * q + 1.0)
    own_p = S * i * (4.0 * s * q + 1.0)
    mean_p = -own_p - d_p * (mean + 0.5)
    # D_c depends on p through 1 / D alone, so (D_c / D)_p = -d_c d_p.
    mean_cp = d_c * d_p * (mean + 0.5) + d_c * (own_p + d_p * mean)
    mean_cp = mean_cp - 8.0 * s * S * c * i * d_p
    tilt_cp = 2.0 * S * i * d_p * (2.0 * c * d_c - 1.0)
    return mean_p, -2.0 * S * c * i * d_p, mean_cp, tilt_cp


@triton.jit
def damped_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    p, q = M[0], N[0]
    s: tl.constexpr = PAR[o][0]
    S: tl.constexpr = PAR[o][1]
    i, d_c, mean = _damped(c, det, p, q, s, S)
    k, other = _damped_parts(c, i, mean, PAR, o)
    A_c, B_c = _damped_slopes(c, i, d_c, mean, s, S)
    A_p, B_p, A_cp, B_cp = _damped_in_p(c, i, d_c, mean, q, s, S)
    A_q, B_q, A_cq, B_cq = _damped_in_p(c, i, d_c, mean, p, s, S)
    slope, other_c = A_c * k + B_c * other, A_c * other + B_c * k
    k_p, other_p = A_p * k + B_p * other, A_p * other + B_p * k
    k_q, other_q = A_q * k + B_q * other, A_q * other + B_q * k
    # With (D_c / D)_c = -(8 s^2 / D + d_c^2) and mean' = 8 s S c / D - d_c mean:
    d_cc = -8.0 * s * s * i - d_c * d_c
    inner = 8.0 * s * S * i
    bare_c = inner * c - d_c * mean
    A_cc = inner - inner * c * d_c - d_cc * (mean + 0.5) - d_c * bare_c
    B_cc = 2.0 * S * i * (c * d_c * d_c - 2.0 * d_c - c * d_cc)
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


# Polynomials of n coefficients (the first parameter). Map 1 + d n + l is R_l of the
# d-th derivative of f: E[f^(d)(u) f^(e)(v)] = sum_l R_l^d(p) R_l^e(q) c^l.


@triton.jit
def _series(
    d: tl.constexpr, e: tl.constexpr, c, M, N, PAR: tl.constexpr, o: tl.constexpr
):
    n: tl.constexpr = PAR[o][0]
    total = tl.zeros_like(c)
    for order in tl.static_range(n - 1, -1, -1):
        total = total * c + M[1 + d * n + order] * N[1 + e * n + order]
    return total


@triton.jit
def polynomial(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    return _series(0, 0, c, M, N, PAR, o), _series(1, 1, c, M, N, PAR, o)


@triton.jit
def polynomial_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, slope = polynomial(c, det, M, N, PAR, o)
    return (
        k,
        slope,
        slope,
        _series(2, 2, c, M, N, PAR, o),
        0.5 * _series(2, 0, c, M, N, PAR, o),
        0.5 * _series(0, 2, c, M, N, PAR, o),
        0.5 * _series(3, 1, c, M, N, PAR, o),
        0.5 * _series(1, 3, c, M, N, PAR, o),
    )
