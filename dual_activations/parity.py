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


def even_and_odd(exponent: Array, c: Array) -> tuple[Array, Array]:
    """e^m e^{-|c|} cosh(c) and e^m e^{-|c|} sinh(c), for m = ``exponent``."""
    xp = array_namespace(exponent, c)
    top, twice = xp.exp(exponent) / 2, -2 * magnitude(c)
    odd = -top * xp.expm1(twice)
    return top * (1 + xp.exp(twice)), xp.where(c < 0, -odd, odd)


def spread(p: Array, q: Array, c: Array) -> Array:
    """p + q - 2 |c| >= 0, the smaller squared distance to the other input and to its
    opposite, without cancellation for near-duplicates."""
    size = magnitude(c)
    return (p - size) + (q - size)
