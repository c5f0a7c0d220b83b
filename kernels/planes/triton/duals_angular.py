r"""Duals that depend on the angle between two inputs, on tiles; see ``duals.py``.

Map 1 is 1 / sqrt(p), 0 for a zero row. Each of them is homogeneous: with the degree n
of f, k(s^2 p, q, s c) = s^n k(p, q, c), which gives the derivatives in p and q.
"""

import triton
import triton.language as tl

from .elementary import LEAST, PI, angle_ratio, arcsin, exp, inverse


@triton.jit
def determinant(p, q, c):
    """max(p q - c^2, 0) to rounding, exactly 0 where c = p = q.

    The interpreter rounds the product and the sum of ``tl.fma`` one after the other:
    there the result has the cancellation that is avoided on a GPU.
    """
    square = c * c
    lost = tl.fma(c, c, -square)
    return tl.maximum(tl.fma(p, q, -square) - lost, 0.0)


@triton.jit
def _inverse_product(M, N):
    """1 / sqrt(p q), and whether neither row is zero; some number if one is.

    In float32 a product below the least normal number counts as zero.
    """
    if M[0].dtype == tl.float32:
        product = M[0] * N[0]
        return tl.rsqrt(tl.maximum(product, LEAST)), product >= LEAST
    else:
        ij = M[1] * N[1]
        return ij, ij > 0


@triton.jit
def _angle(c, det, M, N):
    """theta = arccos(c / sqrt(p q)), pi / 2 for a zero row, sin(theta) sqrt(p q), and
    1 / sqrt(p q)."""
    ij, nonzero = _inverse_product(M, N)
    sine = tl.sqrt(det)
    acute = sine * ij * angle_ratio(tl.minimum(tl.abs(c) * ij, 1.0))
    acute = tl.where(nonzero, acute, PI / 2)
    return tl.where(c < 0, -acute + PI, acute), sine, ij


@triton.jit
def _homogeneous(n: tl.constexpr, c, k, slope, k_c, slope_c, i, j):
    """All partials; 2 p k_p = n k - c k_c, and the slope has degree n - 1."""
    k_log = 0.5 * (n * k - c * k_c)
    slope_log = 0.5 * ((n - 1.0) * slope - c * slope_c)
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


@triton.jit
def rectifier(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    theta, sine, _ = _angle(c, det, M, N)
    slope = PAR[o][1] - PAR[o][0] * theta
    # Fused, so that equal numbers have equal bits in every kernel.
    return tl.fma(slope, c, sine * PAR[o][0]), slope


@triton.jit
def rectifier_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, slope = rectifier(c, det, M, N, PAR, o)
    slope_c = PAR[o][0] * inverse(tl.sqrt(det))
    return _homogeneous(1.0, c, k, slope, slope, slope_c, M[1], N[1])


# Sign and step, k = (2 / pi) arcsin(rho) and 1/4 + arcsin(rho) / 2 pi. The derivative
# of f is 0 almost everywhere, so k_dot is 0, but k has a derivative.


@triton.jit
def sign(c, det, M, N):
    ij, _ = _inverse_product(M, N)
    k = arcsin(c * ij, tl.sqrt(det) * ij) * (2.0 / PI)
    return k, tl.zeros_like(k)


@triton.jit
def sign_partials(c, det, M, N):
    k, zero = sign(c, det, M, N)
    k_c = inverse(tl.sqrt(det)) * (2.0 / PI)
    return _homogeneous(0.0, c, k, zero, k_c, zero, M[1], N[1])


@triton.jit
def step(c, det, M, N):
    odd, zero = sign(c, det, M, N)
    return 0.25 * odd + 0.25, zero


@triton.jit
def step_partials(c, det, M, N):
    k, zero = step(c, det, M, N)
    k_c = inverse(tl.sqrt(det)) * (0.5 / PI)
    return _homogeneous(0.0, c, k, zero, k_c, zero, M[1], N[1])


# Rectified powers, f(x) = max(x, 0)^n, 2 <= n. Maps 2 and 3 are p^(n/2), p^((n-1)/2).
# With J_n = 2 pi k(1, 1, rho) = A_n(rho) (pi - theta) + B_n(rho) sin(theta), J_n' is
# n^2 J_{n-1} (Cho & Saul 2009, eq. 4). Parameters n, then A_m and B_m of n + 1
# coefficients each, lowest power first, for m = n, n - 1 and n - 2.


@triton.jit
def _arccosine(rho, theta, sine, PAR: tl.constexpr, o: tl.constexpr, m: tl.constexpr):
    """J_{n-m} / 2 pi."""
    n: tl.constexpr = PAR[o][0]
    first: tl.constexpr = 1 + 2 * m * (n + 1)
    a, b = rho * 0.0, rho * 0.0
    for order in tl.static_range(n - m, -1, -1):
        a = a * rho + PAR[o][first + order]
        b = b * rho + PAR[o][first + n + 1 + order]
    return (a * (-theta + PI) + b * sine) * (0.5 / PI)


@triton.jit
def power(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    n: tl.constexpr = PAR[o][0]
    theta, sine, ij = _angle(c, det, M, N)
    k = M[2] * N[2] * _arccosine(c * ij, theta, sine * ij, PAR, o, 0)
    slope = M[3] * N[3] * _arccosine(c * ij, theta, sine * ij, PAR, o, 1)
    return k, (n * n) * slope


@triton.jit
def power_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    n: tl.constexpr = PAR[o][0]
    k, slope = power(c, det, M, N, PAR, o)
    theta, sine, ij = _angle(c, det, M, N)
    scale = M[3] * N[3] * ij * ((n * (n - 1)) * (n * (n - 1)))
    slope_c = scale * _arccosine(c * ij, theta, sine * ij, PAR, o, 2)
    return _homogeneous(n, c, k, slope, slope, slope_c, M[1], N[1])


# k = sqrt(p q) exp(gamma (rho + shift)). Map 2 is sqrt(p). Parameters gamma, shift.


@triton.jit
def exp_normalized(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    rho = c * (M[1] * N[1])
    e = exp(PAR[o][0] * (rho + PAR[o][1]))
    return M[2] * N[2] * e, PAR[o][0] * e


@triton.jit
def exp_normalized_partials(c, det, M, N, PAR: tl.constexpr, o: tl.constexpr):
    k, slope = exp_normalized(c, det, M, N, PAR, o)
    slope_c = PAR[o][0] * slope * (M[1] * N[1])
    return _homogeneous(1.0, c, k, slope, slope, slope_c, M[1], N[1])
