r"""Dual activations on tiles: one contract for every family.

    dual_maps(p, FAMILY, PAR, o) -> the maps of variances p, a tuple; map 0 is p
    value(c, det, M, N, FAMILY, PAR, o) -> k, k_dot
    partials(the same) -> k, k_dot, k_c, k_dot_c, k_p, k_q, k_dot_p, k_dot_q

A subscript is a partial derivative. k_c is k_dot, except where f jumps: there k_dot is
0, as the derivative of f is almost everywhere. At det = 0 an infinite derivative is
replaced by 0. The arguments:

    c: tile, covariance of the pair.
    det: tile, p q - c^2 >= 0 without cancellation, e.g. from ``determinant``.
    M, N: maps of the first and of the second input, that broadcast with c.
    FAMILY: a ``Family``, an int known at compile time.
    PAR, o: the parameters are PAR[o][0], PAR[o][1], ...: a tuple of tuples of numbers,
        known at compile time, which ``encoding.parameters`` makes of a ``Dual``.

The maps are functions of p alone, worth computing once per pixel, not once per pair.
"""

import triton
import triton.language as tl

from . import duals_angular as angular
from . import duals_smooth as smooth
from .duals_angular import determinant  # noqa: F401  (what det is made by)
from .elementary import inverse_std

# The numbers of ``families.Family``.
RECTIFIER = tl.constexpr(0)
SIGN = tl.constexpr(1)
STEP = tl.constexpr(2)
POWER = tl.constexpr(3)
EXP_NORMALIZED = tl.constexpr(4)
ERF = tl.constexpr(5)
GELU = tl.constexpr(6)
EXPONENTIAL = tl.constexpr(7)
DAMPED = tl.constexpr(8)
POLYNOMIAL = tl.constexpr(9)


@triton.jit
def _raised(root, n: tl.constexpr):
    """root^n."""
    y = root * 0.0 + 1.0
    for _ in tl.static_range(n):
        y = y * root
    return y


@triton.jit
def _polynomial_maps(p, PAR: tl.constexpr, o: tl.constexpr):
    """p, then R_l of f and of its first three derivatives, by Horner's rule."""
    n: tl.constexpr = PAR[o][0]
    maps = (p,)
    for d in tl.static_range(4):
        for order in tl.static_range(n):
            total = p * 0.0
            for i in tl.static_range((n - 1 - order) // 2, -1, -1):
                total = total * p + PAR[o][1 + (d * n + order) * n + i]
            maps = maps + (total,)
    return maps


@triton.jit
def dual_maps(p, FAMILY: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr):
    """All maps of variances p."""
    if FAMILY == POWER:
        root = tl.sqrt(p)
        power, lower = _raised(root, PAR[o][0]), _raised(root, PAR[o][0] - 1)
        return (p, inverse_std(p), power, lower)
    elif FAMILY == EXP_NORMALIZED:
        return (p, inverse_std(p), tl.sqrt(p))
    elif FAMILY == ERF:
        return (p, 1.0 / tl.sqrt(1.0 + 2.0 * PAR[o][0] * p))
    elif FAMILY == GELU:
        return (p, 1.0 / tl.sqrt(1.0 + PAR[o][0] * p))
    elif FAMILY == POLYNOMIAL:
        return _polynomial_maps(p, PAR, o)
    elif FAMILY == EXPONENTIAL or FAMILY == DAMPED:
        return (p,)
    else:
        return (p, inverse_std(p))


@triton.jit
def value(c, det, M, N, FAMILY: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr):
    """k and k_dot."""
    if FAMILY == RECTIFIER:
        return angular.rectifier(c, det, M, N, PAR, o)
    elif FAMILY == SIGN:
        return angular.sign(c, det, M, N)
    elif FAMILY == STEP:
        return angular.step(c, det, M, N)
    elif FAMILY == POWER:
        return angular.power(c, det, M, N, PAR, o)
    elif FAMILY == EXP_NORMALIZED:
        return angular.exp_normalized(c, det, M, N, PAR, o)
    elif FAMILY == ERF:
        return smooth.erf(c, det, M, N, PAR, o)
    elif FAMILY == GELU:
        return smooth.gelu(c, det, M, N, PAR, o)
    elif FAMILY == EXPONENTIAL:
        return smooth.exponential(c, det, M, N, PAR, o)
    elif FAMILY == DAMPED:
        return smooth.damped(c, det, M, N, PAR, o)
    else:
        return smooth.polynomial(c, det, M, N, PAR, o)


@triton.jit
def partials(c, det, M, N, FAMILY: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr):
    """k, k_dot and their derivatives."""
    if FAMILY == RECTIFIER:
        return angular.rectifier_partials(c, det, M, N, PAR, o)
    elif FAMILY == SIGN:
        return angular.sign_partials(c, det, M, N)
    elif FAMILY == STEP:
        return angular.step_partials(c, det, M, N)
    elif FAMILY == POWER:
        return angular.power_partials(c, det, M, N, PAR, o)
    elif FAMILY == EXP_NORMALIZED:
        return angular.exp_normalized_partials(c, det, M, N, PAR, o)
    elif FAMILY == ERF:
        return smooth.erf_partials(c, det, M, N, PAR, o)
    elif FAMILY == GELU:
        return smooth.gelu_partials(c, det, M, N, PAR, o)
    elif FAMILY == EXPONENTIAL:
        return smooth.exponential_partials(c, det, M, N, PAR, o)
    elif FAMILY == DAMPED:
        return smooth.damped_partials(c, det, M, N, PAR, o)
    else:
        return smooth.polynomial_partials(c, det, M, N, PAR, o)
