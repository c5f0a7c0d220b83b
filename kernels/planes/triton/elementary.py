r"""Elementary functions of tiles: polynomials with a stated error, no library call.

Triton has neither arccos nor expm1, and its float32 exp loses digits of large numbers.
Every function takes float32 or float64 tiles and works in their dtype.
"""

import triton
import triton.language as tl

from .. import fits

# The errors of the fits stand in ``fits.py``.
_ANGLE_DOUBLE = tl.constexpr(fits.ANGLE_DOUBLE)
_ANGLE_SINGLE = tl.constexpr(fits.ANGLE_SINGLE)
_EXP_DOUBLE = tl.constexpr(fits.EXP_DOUBLE)
_EXP_SINGLE = tl.constexpr(fits.EXP_SINGLE)
_LN2_HIGH = tl.constexpr(fits.LN2_HIGH)
_LN2_LOW = tl.constexpr(fits.LN2_LOW)
_LUNE_DOUBLE = tl.constexpr(fits.LUNE_DOUBLE)
_LUNE_SINGLE = tl.constexpr(fits.LUNE_SINGLE)
_RATIO_DOUBLE = tl.constexpr(fits.RATIO_DOUBLE)
_RATIO_SINGLE = tl.constexpr(fits.RATIO_SINGLE)
# The least normal number of float32.
LEAST = tl.constexpr(1.1754943508222875e-38)
_LOG2_E = tl.constexpr(1.4426950408889634)
# Right of a tile in every operation: on the left of one, a constant of a file would
# swallow the tile in the interpreter.
PI = tl.constexpr(3.141592653589793)


@triton.jit
def horner(x, COEFFICIENTS: tl.constexpr, N: tl.constexpr):
    """The polynomial with these N coefficients, highest power first."""
    y = x * COEFFICIENTS[0] + COEFFICIENTS[1]
    for n in tl.static_range(2, N):
        y = y * x + COEFFICIENTS[n]
    return y


@triton.jit
def inverse(x):
    """1 / x for x > 0, else 0."""
    return tl.where(x > 0, 1.0 / tl.where(x > 0, x, 1.0), 0.0)


@triton.jit
def inverse_std(p):
    """1 / sqrt(p), and 0 for a zero row."""
    if p.dtype == tl.float32:
        # One instruction, to 1.5e-7; a number below the least normal one counts as 0.
        root = tl.rsqrt(tl.maximum(p, LEAST))
        return tl.where(p >= LEAST, root, 0.0)
    else:
        return tl.where(p > 0, 1.0 / tl.sqrt(tl.where(p > 0, p, 1.0)), 0.0)


@triton.jit
def arc(e):
    """theta = arccos(1 - e) and sin(theta) - theta cos(theta), for e in [0, 2].

    The angle is about sqrt(2 e): formed from e = 1 - rho it keeps all the digits of e.
    """
    less = tl.minimum(e, 2.0 - e)
    root = tl.sqrt(less)
    if e.dtype == tl.float32:
        angle = horner(less, _ANGLE_SINGLE, 8)
        lune = horner(less, _LUNE_SINGLE, 7)
    else:
        angle = horner(less, _ANGLE_DOUBLE, 21)
        lune = horner(less, _LUNE_DOUBLE, 20)
    theta = root * angle
    theta = tl.where(e > 1.0, -theta + PI, theta)
    return theta, less * root * lune + tl.maximum(e - 1.0, 0.0) * PI


@triton.jit
def angle_ratio(a):
    """arccos(a) / sqrt(1 - a^2) for 0 <= a <= 1."""
    if a.dtype == tl.float32:
        y = horner(a, _RATIO_SINGLE, 10)
    else:
        y = horner(a + a - 1.0, _RATIO_DOUBLE, 22)
    return y


@triton.jit
def arcsin(v, cosine):
    """arcsin(v) = v Q(sqrt(1 - v^2)) where the root is known; small relative error."""
    return v * angle_ratio(tl.minimum(cosine, 1.0))


@triton.jit
def _times_power_of_two(x, n):
    """x 2^n for an integral n; in two steps, so that n may exceed the exponents."""
    if x.dtype == tl.float32:
        whole = n.to(tl.int32)
        half = whole >> 1
        first = ((half + 127) << 23).to(tl.float32, bitcast=True)
        second = ((whole - half + 127) << 23).to(tl.float32, bitcast=True)
    else:
        whole = n.to(tl.int64)
        half = whole >> 1
        first = ((half + 1023) << 52).to(tl.float64, bitcast=True)
        second = ((whole - half + 1023) << 52).to(tl.float64, bitcast=True)
    return x * first * second


@triton.jit
def _reduced(x):
    """n, r and (e^r - 1) / r with x = n ln(2) + r, |r| <= ln(2) / 2."""
    # No further from 0 than where exp is 0 or infinite in any case.
    if x.dtype == tl.float32:
        x = tl.minimum(tl.maximum(x, -180.0), 180.0)
    else:
        x = tl.minimum(tl.maximum(x, -1480.0), 1480.0)
    n = tl.floor(x * _LOG2_E + 0.5)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    if x.dtype == tl.float32:
        ratio = horner(r, _EXP_SINGLE, 6)
    else:
        ratio = horner(r, _EXP_DOUBLE, 12)
    return n, r, ratio


@triton.jit
def exp(x):
    """e^x, with a relative error of about one unit in the last place."""
    n, r, ratio = _reduced(x)
    return _times_power_of_two(r * ratio + 1.0, n)


@triton.jit
def exp_minus_1(x):
    """e^x - 1 for x <= 0, without cancellation near 0."""
    n, r, ratio = _reduced(x)
    power = _times_power_of_two(r * 0.0 + 1.0, n)
    return power * r * ratio + (power - 1.0)
