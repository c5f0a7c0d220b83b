"""Factors of a layer's Jacobian: what is known of it without forming it."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from .cost import Rows, Sizes
from .windows import Window, patches

Array = Any


@dataclass(frozen=True)
class Direct:
    """Rows of the Jacobian themselves.

    Args:
        j: ``[n, u, d, f, P]``.
    """

    j: Array


@dataclass(frozen=True)
class Outer:
    """Weights whose gradient is a sum of outer products, sum_t a_t g_t^T.

    Args:
        a: what the weights are multiplied with, ``[n, b, t, i]``.
        g: cotangents of the product, ``[n, u, d, f, b, t, j]``.
    """

    a: Array
    g: Array


@dataclass(frozen=True)
class Lookup:
    """Rows of a table: an ``Outer`` whose a are one-hot.

    Args:
        ids: row numbers, ``[n, t]``; -1 for a position that reads nothing.
        g: ``[n, u, d, f, 1, t, j]``.
        table: number of rows in the table.
    """

    ids: Array
    g: Array
    table: int


@dataclass(frozen=True)
class Convolved:
    """Weights of a convolution: an ``Outer`` whose a are the patches of an image.

    Args:
        x: padded inputs, ``[n, b, c, *S]``, b groups of c channels.
        g: ``[n, u, d, f, b, t, j]``, t over output pixels.
        window: taps, strides and dilations.
        bias: what a bias adds to the patches as one more entry, ``[n]``; or None.
    """

    x: Array
    g: Array
    window: Window
    bias: Array | None = None


Factor = Direct | Outer | Lookup | Convolved


def measure(left: Factor, right: Factor, paired: bool) -> tuple[Sizes, Rows]:
    """What the cost model needs to know of a pair of factors; shapes suffice."""
    if isinstance(left, Direct):
        n, u, d, f, weights = left.j.shape
        rows = Rows(n, right.j.shape[0], u, d, f, right.j.shape[3], paired)
        return Sizes(1, 1, 1, weights, 1, direct=True), rows
    n, u, d, f, b, t, j = left.g.shape
    m, _, _, e, _, s, _ = right.g.shape
    rows = Rows(n, m, u, d, f, e, paired)
    if isinstance(left, Outer):
        return Sizes(b, t, s, left.a.shape[-1], j), rows
    if isinstance(left, Lookup):
        return Sizes(b, t, s, left.table, j, gram=t * s, onehot=True), rows
    inputs = left.x.shape[2] * left.window.size + (left.bias is not None)
    gram, elements = left.window.gram_cost(left.x.shape, right.x.shape)
    return Sizes(b, t, s, inputs, j, gram=b * gram, gram_elements=b * elements), rows


def jacobian(factor: Factor) -> Array:
    """The rows of the Jacobian of a factor, ``[n, u, d, f, P]``, P over b, j and i."""
    if isinstance(factor, Direct):
        return factor.j
    xp = array_namespace(factor.g)
    # With j before i the product of matrices has this order, and nothing is moved.
    j = xp.einsum("nudfbtj,nbti->nudfbji", factor.g, activations(factor))
    return xp.reshape(j, (*j.shape[:4], -1))


def activations(factor: Outer | Lookup | Convolved) -> Array:
    """a of a factor, ``[n, b, t, i]``."""
    if isinstance(factor, Outer):
        return factor.a
    xp = array_namespace(factor.g)
    if isinstance(factor, Lookup):
        every = xp.arange(factor.table, dtype=factor.ids.dtype)
        if hasattr(factor.ids, "device") and hasattr(every, "to"):
            every = every.to(factor.ids.device)
        hot = factor.ids[:, None, :, None] == every
        return xp.astype(hot, factor.g.dtype)
    a = patches(factor.x, factor.window)
    return a if factor.bias is None else append(a, factor.bias)


def append(a: Array, bias: Array) -> Array:
    """One more entry for every position, ``[n, b, t, i] -> [n, b, t, i + 1]``."""
    xp = array_namespace(a)
    column = xp.broadcast_to(bias[:, None, None, None], (*a.shape[:3], 1))
    return xp.concat([a, xp.astype(column, a.dtype)], axis=-1)
