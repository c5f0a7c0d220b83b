"""A user's function, seen as a function of one sample with one array of outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

Array = Any
Tree = Any


@dataclass(frozen=True)
class SampleFunction:
    """``f(params, x)`` of one sample at a time.

    Args:
        f: from parameters and inputs with a batch axis to outputs with a batch axis.
        in_axes: the batch axis of x, one for all leaves or a tree of them with None for
            inputs that all samples share; None as a whole if samples interact.
        out_axes: the batch axis of the outputs.
    """

    f: Callable[[Tree, Tree], Tree]
    in_axes: Any
    out_axes: int | None

    @property
    def mapped(self) -> bool:
        """Whether samples are independent."""
        return self.in_axes is not None

    def stack(self, x: Tree) -> list[Array]:
        """The inputs that have a batch axis, with that axis first."""
        leaves = jax.tree.leaves(x)
        if not self.mapped:
            return [jnp.asarray(a)[None] for a in leaves]
        pairs = zip(leaves, self.axes(x), strict=True)
        return [jnp.moveaxis(a, axis, 0) for a, axis in pairs if axis is not None]

    def bind(self, params: Tree, x: Tree) -> tuple[Tree, list[Array]]:
        """Parameters and the inputs that all samples share."""
        if not self.mapped:
            return params, []
        pairs = zip(jax.tree.leaves(x), self.axes(x), strict=True)
        return params, [a for a, axis in pairs if axis is None]

    def single(self, k: int, x: Tree) -> Callable[[Tree, list[Array]], Array]:
        """Output k of one sample, from ``bind(params, x)`` and one of ``stack(x)``.

        Of x only the tree is used.
        """
        tree = jax.tree.structure(x)
        axes = self.axes(x) if self.mapped else None

        def one(bound: tuple[Tree, list[Array]], xi: list[Array]) -> Array:
            params, shared = bound
            if axes is None:
                return jax.tree.leaves(self.f(params, jax.tree.unflatten(tree, xi)))[k]
            mine, common = iter(xi), iter(shared)
            whole = [
                next(common) if axis is None else jnp.expand_dims(next(mine), axis)
                for axis in axes
            ]
            out = jax.tree.leaves(self.f(params, jax.tree.unflatten(tree, whole)))[k]
            return jnp.squeeze(out, self.out_axes)

        return one

    @cached_property
    def gaps(self) -> Callable[[Tree, Tree], list[tuple[Array, Array]]]:
        """For ``(params, x)`` and every output: by how much samples computed together
        and one by one differ, and the largest entry. Compiled once for inputs of a
        kind; not-a-number in both is no gap."""
        return jax.jit(self._gaps)

    def _gaps(self, params: Tree, x: Tree) -> list[tuple[Array, Array]]:
        bound, stacked, found = self.bind(params, x), self.stack(x), []
        for k, out in enumerate(jax.tree.leaves(self.f(params, x))):
            whole = jnp.moveaxis(out, self.out_axes, 0)
            alone = jax.vmap(self.single(k, x), (None, 0))(bound, stacked)
            same = (whole == alone) | (jnp.isnan(whole) & jnp.isnan(alone))
            gap = jnp.max(jnp.where(same, 0, jnp.abs(whole - alone)), initial=0.0)
            finite = jnp.isfinite(whole)
            found.append((gap, jnp.max(jnp.abs(whole), initial=0.0, where=finite)))
        return found

    def size(self, x: Tree) -> int:
        """Number of samples; 1 if they interact, as they are one object then."""
        return self.stack(x)[0].shape[0]

    def axes(self, x: Tree) -> list[int | None]:
        """The batch axis of every leaf of x; None for shared ones.

        Raises:
            ValueError: the axes do not fit the tree of x, or no leaf has a batch axis.
        """
        leaves = jax.tree.leaves(x)
        if isinstance(self.in_axes, int):
            return [self.in_axes] * len(leaves)
        found = jax.tree.leaves(self.in_axes, is_leaf=lambda a: a is None)
        if len(found) != len(leaves) or all(axis is None for axis in found):
            raise ValueError(
                f"vmap_axes names the axes {self.in_axes} for an input of "
                f"{len(leaves)} arrays; expected one axis for each, None where samples "
                "share it, and at least one that is not None"
            )
        return found
