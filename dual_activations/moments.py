r"""What every dual activation needs of the pair covariance [[p, c], [c, q]], without
cancellation.

The angle between two nearly equal vectors is sqrt(pq - c^2) / c, and pq - c^2 loses
every digit in ordinary arithmetic when c is close to sqrt(pq). Products are therefore
formed with their rounding errors (Dekker 1971), and square roots have the derivative 0
instead of infinity where their argument vanishes.
"""

from typing import Any

from array_api_compat import array_namespace

Array = Any


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The product of a and b, and its rounding error: ``a * b == h + e`` exactly
    (Dekker's splitting)."""
    xp = array_namespace(a, b)
    splitter = {24: 2.0**12 + 1, 53: 2.0**27 + 1}[_mantissa(xp, a.dtype)]
    a_hi, a_lo = _split(a, splitter)
    b_hi, b_lo = _split(b, splitter)
    h = a * b
    return h, ((a_hi * b_hi - h) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


def signed_determinant(p: Array, q: Array, c: Array) -> Array:
    """p q - c^2, accurate to rounding even where the two products nearly cancel. It is
    negative where c was rounded to more than sqrt(p q)."""
    pq, pq_error = two_product(p, q)
    cc, cc_error = two_product(c, c)
    return (pq - cc) + (pq_error - cc_error)


def determinant(p: Array, q: Array, c: Array) -> Array:
    """max(p q - c^2, 0), accurate to rounding."""
    det = signed_determinant(p, q, c)
    xp = array_namespace(det)
    return xp.where(det > 0, det, xp.zeros_like(det))


def shifted_determinant(s: Any, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
    """D = det(I + s [[p, c], [c, q]]) = 1 + s (p + q) + s^2 (p q - c^2) for s >= 0, and
    p q - c^2 as it was used.

    Unlike a root of the determinant, D is smooth at correlation +-1: there a negative
    p q - c^2 is kept, with its derivatives, unless it is large enough to spoil D.
    """
    det = signed_determinant(p, q, c)
    xp = array_namespace(det)
    linear = 1 + s * (p + q)
    det = xp.where(s * s * det > -linear / 2, det, xp.zeros_like(det))
    return linear + s * s * det, det


def safe_sqrt(x: Array) -> Array:
    """sqrt(x) for x > 0, else 0 with derivative 0."""
    xp = array_namespace(x)
    positive = x > 0
    root = xp.sqrt(xp.where(positive, x, xp.ones_like(x)))
    return xp.where(positive, root, xp.zeros_like(x))


def safe_divide(a: Array, b: Array) -> Array:
    """a / b where b is not 0, else 0 with derivative 0."""
    xp = array_namespace(a, b)
    nonzero = b != 0
    ratio = a / xp.where(nonzero, b, xp.ones_like(b))
    return xp.where(nonzero, ratio, xp.zeros_like(ratio))


def angle(p: Array, q: Array, c: Array) -> tuple[Array, Array]:
    """theta = arccos(c / sqrt(p q)) in [0, pi] and sqrt(p q) sin(theta). A zero row has
    theta = pi / 2."""
    xp = array_namespace(p, q, c)
    sine = safe_sqrt(determinant(p, q, c))
    zero = (sine == 0) & (c == 0)
    cosine = xp.where(zero, xp.ones_like(c), c)
    theta = xp.atan2(sine, cosine)
    return xp.where(zero, xp.full_like(theta, 1.5707963267948966), theta), sine


def correlation(p: Array, q: Array, c: Array) -> Array:
    """c / sqrt(p q), clipped to [-1, 1]; 0 for a zero row."""
    xp = array_namespace(p, q, c)
    return xp.clip(safe_divide(c, safe_sqrt(p) * safe_sqrt(q)), -1.0, 1.0)


def _split(a: Array, splitter: float) -> tuple[Array, Array]:
    scaled = a * splitter
    hi = scaled - (scaled - a)
    return hi, a - hi


def _mantissa(xp: Any, dtype: Any) -> int:
    return {32: 24, 64: 53}[xp.finfo(dtype).bits]
