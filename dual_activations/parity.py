r"""Even and odd parts of exponentials.

A function f = even + odd has E[f(u) f(v)] = E[even even] + E[odd odd]. For sines and
exponentials these are a cosh and a sinh of the covariance, times a factor that must be
taken inside: e^{-p} cosh(c) overflows where the product is at most 1.
"""

from array_api_compat import array_namespace

from .base import Array


def magnitude(c: Array) -> Array:
    """|c|, with derivative 1 at 0, as the parts below need it."""
    return array_namespace(c).where(c < 0, -c, c)


def times_cosh(top: Array, c: Array) -> Array:
    """top e^{-|c|} cosh(c)."""
    return top * (1 + array_namespace(c).exp(-2 * magnitude(c))) / 2


def times_sinh(top: Array, c: Array) -> Array:
    """top e^{-|c|} sinh(c)."""
    xp = array_namespace(c)
    size = -top * xp.expm1(-2 * magnitude(c)) / 2
    return xp.where(c < 0, -size, size)


def spread(p: Array, q: Array, c: Array) -> Array:
    """p + q - 2 |c| >= 0, the smaller squared distance to the other input and to its
    opposite, without cancellation for near-duplicates."""
    size = magnitude(c)
    return (p - size) + (q - size)
