"""Jacobian contraction and NTK-vector products."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..factors import Direct

Array = Any
Tree = Any
Single = Callable[[Tree, Tree], Array]


def selected_leaves(
    bound: Tree, selected: Sequence[bool]
) -> tuple[list[Array], Callable[[list[Array]], Tree]]:
    """The leaves that count, and how to put them back into the tree.

    Shared inputs may follow the parameters in the tree; they never count.
    """
    leaves, tree = jax.tree.flatten(bound)
    selected = [*selected, *[False] * (len(leaves) - len(selected))]
    chosen = [leaf for leaf, keep in zip(leaves, selected, strict=True) if keep]

    def restore(some: list[Array]) -> Tree:
        found = iter(some)
        whole = [
            next(found) if keep else leaf
            for leaf, keep in zip(leaves, selected, strict=True)
        ]
        return jax.tree.unflatten(tree, whole)

    return chosen, restore


def jacobian_factors(
    single: Single,
    bound: Tree,
    selected: Sequence[bool],
    x: Tree,
    basis: Array,
    rows: tuple[int, int, int],
) -> list[Direct]:
    """Rows of the Jacobian for every parameter: one vector-Jacobian product per row."""
    chosen, restore = selected_leaves(bound, selected)

    def sample(xi: Tree) -> list[Array]:
        out, back = jax.vjp(lambda some: single(restore(some), xi), chosen)
        pulled = jax.vmap(lambda r: back(r.reshape(out.shape).astype(out.dtype))[0])
        return pulled(basis)

    return [Direct(j.reshape(j.shape[0], *rows, -1)) for j in jax.vmap(sample)(x)]


def vector_products(
    single: Single,
    selected: Sequence[bool],
    left: tuple[Tree, Tree, Array],
    right: tuple[Tree, Tree, Array],
    sizes: tuple[int, int, int, int],
    paired: bool,
) -> Array:
    """The kernel ``[D, n, F, m, E]`` as J1 (J2^T e) for every sample and row e of x2.

    Samples of x2 are taken in turn, so that one set of pulled-back rows is held.

    Args:
        left, right: bound parameters, samples and rows ``[u d f, outputs]``.
        sizes: u, d, f and e, the full rows of x2.
    """
    (bound1, x1, basis1), (bound2, x2, basis2) = left, right
    chosen1, restore1 = selected_leaves(bound1, selected)
    chosen2, restore2 = selected_leaves(bound2, selected)
    u, d, f, e = sizes

    def push(xi: Tree, tangents: list[Array]) -> Array:
        run = lambda some: single(restore1(some), xi).reshape(-1)  # noqa: E731
        out = jax.jvp(run, (chosen1,), (tangents,))[1]
        return (basis1.astype(out.dtype) @ out).reshape(u, d, f)

    def pull(xi: Tree) -> list[Array]:
        out, back = jax.vjp(lambda some: single(restore2(some), xi), chosen2)
        rows = basis2.reshape(u * d * e, *out.shape).astype(out.dtype)
        return jax.vmap(lambda r: back(r)[0])(rows)

    where = jnp.arange(u * d * e)

    def of_sample(xj: Tree, others: Tree) -> Array:
        def of_row(tangents: list[Array], i: Array) -> Array:
            pushed = jax.vmap(lambda xi: push(xi, tangents))(others)  # [n, u, d, f]
            # For a row of x2 only the rows of x1 that share its u and d count.
            return pushed[:, i // (d * e), (i // e) % d]  # [n, f]

        rows = jax.vmap(of_row)(pull(xj), where)  # [u d e, n, f]
        return rows.reshape(u, d, e, *rows.shape[1:]).sum(0)  # [d, e, n, f]

    if paired:
        both = jax.lax.map(
            lambda pair: of_sample(pair[1], jax.tree.map(lambda a: a[None], pair[0])),
            (x1, x2),
        )  # [n, d, e, 1, f]
        return jnp.transpose(both[..., 0, :], (1, 0, 3, 2))
    blocks = jax.lax.map(lambda xj: of_sample(xj, x1), x2)  # [m, d, e, n, f]
    return jnp.transpose(blocks, (1, 3, 4, 0, 2))
