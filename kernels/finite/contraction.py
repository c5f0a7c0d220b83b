"""Factors of a layer's Jacobian, and the kernel contribution of a pair of them.

Written once for JAX and torch. Kernels are ``[D, n, F, m, E]`` as in ``RowSplit``, and
``[D, n, F, E]`` for paired samples. ``einsum`` is not in the array API standard; NumPy,
JAX and torch have it with one meaning.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from array_api_compat import array_namespace

from .cost import Rows, Sizes, cheapest, cost
from .windows import Window, patches, pixel_gram

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


def one_by_one(f: Callable[..., Array], *arrays: Array) -> Array:
    """f of every entry along the first axis of the arrays, stacked."""
    parts = [f(*entries) for entries in zip(*arrays, strict=True)]
    return array_namespace(parts[0]).stack(parts)


def contract(
    left: Factor,
    right: Factor,
    paired: bool = False,
    order: str = "",
    each: Callable[..., Array] = one_by_one,
) -> Array:
    """sum over weights of left times right, ``[D, n, F, m, E]``.

    Args:
        left, right: factors of x1 and x2 for the same weights.
        paired: whether only pairs of equal samples are wanted.
        order: one of ``cost.ORDERS``; by default the cheapest.
        each: how to loop over samples (``jax.lax.map`` in JAX programs).
    """
    if isinstance(left, Direct):
        return _einsum("nudfz,mudez->dnfme", left.j, right.j, paired)
    sizes, rows = measure(left, right, paired)
    order = order or cheapest(sizes, rows, 4)
    if order == "grad":
        return contract(Direct(jacobian(left)), Direct(jacobian(right)), paired)
    a = position_gram(left, right, paired)
    if order == "gram":
        return _times_half(a, left.g, right.g, paired, each)
    if sizes.b * sizes.t * sizes.s == 1:
        return _times_outer_gram(a, left.g, right.g, paired)
    gg = _einsum("nudfbtj,mudebsj->bdnftmes", left.g, right.g, paired)
    return _einsum("bnmts,bdnftmes->dnfme", a, gg, paired)


def contract_with_itself(
    factor: Factor, paired: bool = False, each: Callable[..., Array] = one_by_one
) -> Array:
    """``contract(factor, factor)``, computing one of every two symmetric blocks."""
    sizes, rows = measure(factor, factor, paired)
    order = cheapest(sizes, rows, 4)
    work = cost(order, sizes, rows).operations
    # Small blocks take as long as larger ones.
    groups = min(4, rows.n) if work > 2**29 and not paired else 1
    if groups < 2:
        return contract(factor, factor, paired, each=each)
    if order == "grad":
        factor = Direct(jacobian(factor))
    edges = [rows.n * k // groups for k in range(groups + 1)]
    parts = [_samples(factor, slice(a, b)) for a, b in pairwise(edges)]
    table: dict[tuple[int, int], Array] = {}
    for a, left in enumerate(parts):
        for b, right in enumerate(parts[: a + 1]):
            block = contract(
                left, right, order="" if order == "grad" else order, each=each
            )
            table[a, b] = block
            if a != b:
                xp = array_namespace(block)
                table[b, a] = xp.permute_dims(block, (0, 3, 4, 1, 2))
    xp = array_namespace(block)
    lines = [
        xp.concat([table[a, b] for b in range(groups)], axis=3) for a in range(groups)
    ]
    return xp.concat(lines, axis=1)


def _samples(factor: Factor, where: slice) -> Factor:
    """Some samples of a factor."""
    arrays = {
        k: v[where] for k, v in vars(factor).items() if hasattr(v, "shape") and v.ndim
    }
    return replace(factor, **arrays)


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


def position_gram(left: Factor, right: Factor, paired: bool) -> Array:
    """<a_t, a'_s> for every pair of positions, ``[b, n, m, t, s]``."""
    xp = array_namespace(left.g)
    if isinstance(left, Lookup):
        i, k = left.ids, right.ids
        if paired:
            equal = (i[:, :, None] == k[:, None, :]) & (i[:, :, None] >= 0)
        else:
            equal = i[:, None, :, None] == k[None, :, None, :]
            equal = equal & (i[:, None, :, None] >= 0)
        return xp.astype(equal, left.g.dtype)[None]
    if isinstance(left, Convolved) and left.window.prefers_pixels(
        left.x.shape, right.x.shape
    ):
        a = pixel_gram(left.x, right.x, left.window, paired)
        if left.bias is None:
            return a
        beta = left.bias * right.bias if paired else left.bias[:, None] * right.bias
        return a + beta[..., None, None]
    return _einsum("nbti,mbsi->bnmts", activations(left), activations(right), paired)


def _times_half(
    a: Array, g: Array, h: Array, paired: bool, each: Callable[..., Array]
) -> Array:
    """g^T (a h), one sample of x2 at a time: the half result stays in the cache."""
    xp = array_namespace(a)
    if paired:
        half = xp.einsum("bnts,nudebsj->nudebtj", a, h)
        return xp.einsum("nudfbtj,nudebtj->dnfe", g, half)

    def of_sample(am: Array, hm: Array) -> Array:
        half = xp.einsum("bnts,udebsj->nudebtj", am, hm)
        return xp.einsum("nudfbtj,nudebtj->dnfe", g, half)

    columns = each(of_sample, xp.permute_dims(a, (2, 0, 1, 3, 4)), h)
    return xp.permute_dims(columns, (1, 2, 3, 0, 4))


def _times_outer_gram(a: Array, g: Array, h: Array, paired: bool) -> Array:
    """a[n, m] <g, h> for layers with one position: one product, then a scaling."""
    xp = array_namespace(a)
    gram = _einsum("nudfj,mudej->dnfme", g[..., 0, 0, :], h[..., 0, 0, :], paired)
    n = a.shape[1]
    shape = (1, n, 1, 1) if paired else (1, n, 1, a.shape[2], 1)
    return gram * xp.reshape(a, shape)


def _einsum(formula: str, x: Array, y: Array, paired: bool) -> Array:
    """``einsum`` of two operands; for paired samples the label m is n."""
    xp = array_namespace(x)
    if paired:
        inputs, out = formula.split("->")
        one, two = inputs.split(",")
        two = two.replace("m", "" if "n" in two else "n")
        formula = f"{one.replace('m', '')},{two}->{out.replace('m', '')}"
    return xp.einsum(formula, x, y)
