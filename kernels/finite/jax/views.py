"""Parameters, as the linear views of them that a function computes with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = Any


@dataclass(frozen=True)
class Step:
    """One linear operation of a view.

    Args:
        apply: the operation.
        index: the same on an array of positions; None where it only scales.
        scale: the factor of an operation that only scales.
        spread: whether it repeats entries (broadcasting).
    """

    apply: Callable[[Array], Array]
    index: Callable[[np.ndarray], np.ndarray] | None = None
    scale: Array | None = None
    spread: bool = False


@dataclass(frozen=True)
class View:
    """A parameter, transposed, reshaped, sliced, scaled or cast.

    Args:
        leaf: which parameter, counted over the leaves of the tree.
        value: the parameter itself.
        aval: shape and dtype of the view.
        steps: the operations, first to last.
    """

    leaf: int
    value: Array
    aval: Any
    steps: tuple[Step, ...] = ()

    def then(self, aval: Any, step: Step) -> "View":
        """The view followed by one more operation."""
        return View(self.leaf, self.value, aval, (*self.steps, step))

    def array(self) -> Array:
        """The view, computed."""
        w = self.value
        for step in self.steps:
            w = step.apply(w)
        return w

    @property
    def spread(self) -> bool:
        """Whether entries of the parameter appear more than once in the view."""
        return any(step.spread for step in self.steps)

    def unspread(self) -> tuple["View", tuple[Step, ...]]:
        """The part before the first repeating step, and the steps from there on."""
        k = next((i for i, s in enumerate(self.steps) if s.spread), len(self.steps))
        head = self.value
        for step in self.steps[:k]:
            head = step.apply(head)
        return (
            View(self.leaf, self.value, jax.typeof(head), self.steps[:k]),
            self.steps[k:],
        )

    def unscaled(self) -> tuple["View", Array | None]:
        """The view without its scalar factors, and their product if there are any.

        Products are scaled instead, which are smaller. A view that is cast is kept, as
        rounding would differ.
        """
        cast = any(step.index is None and step.scale is None for step in self.steps)
        if cast or all(step.scale is None for step in self.steps):
            return self, None
        kept = tuple(step for step in self.steps if step.scale is None)
        return View(self.leaf, self.value, self.aval, kept), self.scale()

    def scale(self) -> Array:
        """The product of all scalar factors."""
        factors = [step.scale for step in self.steps if step.scale is not None]
        out = jnp.ones((), self.value.dtype)
        for c in factors:
            out = out * jnp.asarray(c, out.dtype)
        return out

    def pull_back(self, cotangents: Array) -> Array:
        """Cotangents of the view, ``[rows, ...]``, to the parameter: ``[rows, P]``."""

        def chain(w: Array) -> Array:
            for step in self.steps:
                w = step.apply(w)
            return w

        if self.steps:
            back = jax.linear_transpose(chain, jax.typeof(self.value))
            cotangents = jax.vmap(lambda t: back(t.astype(self.aval.dtype))[0])(
                cotangents
            )
        return cotangents.reshape(cotangents.shape[0], -1)

    def positions(self, shape: tuple[int, ...]) -> np.ndarray:
        """Which entry of a parameter of shape ``shape`` stands where in the view."""
        where = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        for step in self.steps:
            if step.index is not None:
                where = step.index(where)
        return where
