"""The kernel contribution of a layer, from the factors of its Jacobians.

Written once for JAX and torch. Kernels are ``[D, n, F, m, E]`` as in ``RowSplit``, and
``[D, n, F, E]`` for paired samples. ``einsum`` is not in the array API standard; NumPy,
JAX and torch have it with one meaning.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from array_api_compat import array_namespace

from .cost import cheapest, cost, pieces
from .factors import Convolved, Direct, Factor, Lookup, activations, measure
from .windows import pixel_gram

Array = Any


@dataclass(frozen=True)
class Loops:
    """How to repeat work without writing it out.

    Args:
        each: f of every entry along the first axis of some arrays, stacked.
        total: the same, added up.
        rows_cost: how long a product takes that forms rows of the Jacobian, in those
            that others of as many operations take.
        rows_first: whether cotangents lie in memory with rows before samples.
    """

    each: Callable[..., Array]
    total: Callable[..., Array]
    rows_cost: float = 1.0
    rows_first: bool = False


def one_by_one(f: Callable[..., Array], *arrays: Array) -> Array:
    """f of every entry along the first axis of the arrays, stacked."""
    parts = [f(*entries) for entries in zip(*arrays, strict=True)]
    return array_namespace(parts[0]).stack(parts)


def added_up(f: Callable[..., Array], *arrays: Array) -> Array:
    """The sum of f over the entries along the first axis of the arrays."""
    total = None
    for entries in zip(*arrays, strict=True):
        part = f(*entries)
        total = part if total is None else total + part
    return total


PYTHON = Loops(one_by_one, added_up)


def contract(
    left: Factor,
    right: Factor,
    paired: bool = False,
    order: str = "",
    loops: Loops = PYTHON,
) -> Array:
    """sum over weights of left times right, ``[D, n, F, m, E]``.

    Args:
        left, right: factors of x1 and x2 for the same weights.
        paired: whether only pairs of equal samples are wanted.
        order: one of ``cost.ORDERS``; by default the cheapest.
        loops: how to repeat work (compiled in JAX programs).
    """
    if isinstance(left, Direct):
        return _row_gram(left.j, right.j, paired)
    sizes, rows = measure(left, right, paired)
    order = order or cheapest(sizes, rows, left.g.dtype.itemsize, loops.rows_cost)
    if order == "grad":
        return _by_jacobian(left, right, paired, pieces(sizes, rows), loops)
    a = position_gram(left, right, paired)
    if order == "gram":
        return _times_half(a, left.g, right.g, paired, loops)
    if sizes.b * sizes.t * sizes.s == 1:
        return _times_outer_gram(a, left.g, right.g, paired, loops.rows_first)
    gg = _einsum("nudfbtj,mudebsj->bdnftmes", left.g, right.g, paired)
    return _einsum("bnmts,bdnftmes->dnfme", a, gg, paired)


def contract_with_itself(
    factor: Factor, paired: bool = False, loops: Loops = PYTHON
) -> Array:
    """``contract(factor, factor)``, computing one of every two symmetric blocks."""
    sizes, rows = measure(factor, factor, paired)
    if isinstance(factor, Direct):
        order = "jacobian"
    else:
        order = cheapest(sizes, rows, factor.g.dtype.itemsize, loops.rows_cost)
    if order == "grad":
        # The work is in forming the rows, once.
        return _by_jacobian(factor, None, paired, pieces(sizes, rows), loops)
    groups = 1 if paired else _groups(cost(order, sizes, rows).operations, rows.n)
    edges = [rows.n * k // groups for k in range(groups + 1)]
    parts = [_samples(factor, slice(a, b)) for a, b in pairwise(edges)]
    table: dict[tuple[int, int], Array] = {}
    for a, left in enumerate(parts):
        for b, right in enumerate(parts[: a + 1]):
            block = contract(left, right, paired, order, loops)
            table[a, b] = block
            if a != b:
                xp = array_namespace(block)
                table[b, a] = xp.permute_dims(block, (0, 3, 4, 1, 2))
    if groups == 1:
        return block
    every = range(groups)
    xp = array_namespace(block)
    lines = [xp.concat([table[a, b] for b in every], axis=3) for a in every]
    return xp.concat(lines, axis=1)


def _groups(operations: int, n: int) -> int:
    """In how many groups of samples to compute a symmetric block.

    k groups leave (k + 1) / 2k of the work; products of small blocks are slow.
    """
    return min(n, 1 if operations < 2**26 else 2 if operations < 2**29 else 4)


def _samples(factor: Factor, where: slice) -> Factor:
    """Some samples of a factor."""
    arrays = {
        k: v[where] for k, v in vars(factor).items() if hasattr(v, "shape") and v.ndim
    }
    return replace(factor, **arrays)


def _by_jacobian(
    left: Factor, right: Factor | None, paired: bool, count: int, loops: Loops
) -> Array:
    """Rows of the Jacobian, then their products; some units j at a time.

    A piece of the rows stays in the cache; all of them may not fit in memory. Without
    ``right`` both sides are the same.
    """
    xp = array_namespace(left.g)
    a = activations(left)
    a2 = a if right is None else activations(right)

    def rows(a: Array, g: Array) -> Array:
        j = xp.einsum("nudfbjt,nbti->nudfbji", g, a)
        return xp.reshape(j, (*j.shape[:4], -1))

    def product(g: Array, h: Array) -> Array:
        one = rows(a, g)
        return _row_gram(one, one if right is None else rows(a2, h), paired)

    def cut(g: Array) -> Array:
        """Pieces ``[count, n, u, d, f, b, j, t]``, ready for products over t."""
        parts = xp.reshape(g, (*g.shape[:-1], count, -1))
        return xp.permute_dims(parts, (6, 0, 1, 2, 3, 4, 7, 5))

    sides = [left.g] if right is None else [left.g, right.g]
    if count == 1:
        return product(cut(sides[0])[0], cut(sides[-1])[0])
    return loops.total(lambda *gs: product(gs[0], gs[-1]), *map(cut, sides))


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


def _times_half(a: Array, g: Array, h: Array, paired: bool, loops: Loops) -> Array:
    """g^T (a h), one sample of x2 at a time: the half result stays in the cache."""
    xp = array_namespace(a)
    if paired:
        half = xp.einsum("bnts,nudebsj->udebntj", a, h)
        return xp.matmul(_by_sample(g, 1, 2, 0), _by_sample(half, 0, 1, 4).mT)
    left = _by_sample(g, 1, 2, 0)

    def of_sample(am: Array, hm: Array) -> Array:
        b, n, t, s = am.shape
        half = xp.matmul(xp.reshape(am, (b, n * t, s)), hm)  # [u, d, e, b, n t, j]
        half = xp.reshape(half, (*half.shape[:4], n, t, -1))
        return xp.matmul(left, _by_sample(half, 0, 1, 4).mT)

    columns = loops.each(of_sample, xp.permute_dims(a, (2, 0, 1, 3, 4)), h)
    return xp.permute_dims(columns, (1, 2, 3, 0, 4))


def _by_sample(g: Array, u: int, d: int, n: int) -> Array:
    """Cotangents as matrices, ``[d, n, f, u b t j]``, from where u, d and n are.

    Nothing is moved for one row u and one group b. (``einsum`` may move entries, as it
    orders the axes that it sums over by their letters.)
    """
    xp = array_namespace(g)
    lead = (d, n, d + 1, u)
    rest = [k for k in range(g.ndim) if k not in lead]
    g = xp.permute_dims(g, (*lead, *rest))
    return xp.reshape(g, (*g.shape[:3], -1))


def _row_gram(j: Array, k: Array, paired: bool, rows_first: bool = False) -> Array:
    """<j, k> of every two rows, ``[D, n, F, m, E]``, from ``[n, u, d, f, z]``."""
    n, u, d, f, z = j.shape
    m, e = k.shape[0], k.shape[3]
    if paired or d > 1 or (u > 1 and (f > 1 or e > 1)):
        return _einsum("nudfz,mudez->dnfme", j, k, paired)
    # One product of two matrices, which libraries do best.
    xp = array_namespace(j)
    if rows_first:
        # The result is moved, which is smaller than the factors.
        j, k = (xp.permute_dims(rows, (3, 0, 1, 2, 4)) for rows in (j, k))
    left = xp.reshape(j, (n * f, u * z))
    right = xp.reshape(k, (m * e, u * z))
    gram = xp.matmul(left, right.T)
    if rows_first:
        return xp.permute_dims(xp.reshape(gram, (1, f, n, e, m)), (0, 2, 1, 4, 3))
    return xp.reshape(gram, (1, n, f, m, e))


def _times_outer_gram(
    a: Array, g: Array, h: Array, paired: bool, rows_first: bool
) -> Array:
    """a[n, m] <g, h> for layers with one position: one product, then a scaling."""
    xp = array_namespace(a)
    gram = _row_gram(g[..., 0, 0, :], h[..., 0, 0, :], paired, rows_first)
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
