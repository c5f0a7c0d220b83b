"""Optimisers of optax."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .parameters import Parameters, State


class OptaxOptimizer:
    """An optimiser of optax, on NumPy arrays in the dtype they have.

    Args:
        name: of a function of optax.
        learning_rate: its first argument.
        options: its other arguments.
    """

    def __init__(
        self, name: str, learning_rate: float, options: Mapping[str, Any]
    ) -> None:
        make = getattr(optax, name, None)
        if make is None:
            raise ValueError(f"optimizer is 'optax.{name}', but optax has no {name!r}")
        try:
            self.transform = make(learning_rate, **options)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"optimizer 'optax.{name}': {error}") from error
        if not isinstance(self.transform, optax.GradientTransformation):
            raise ValueError(
                f"optimizer is 'optax.{name}', which is no optimiser; expected one "
                "such as 'optax.adam'"
            )
        self._found: tuple[list[str], Any] | None = None
        self._update = jax.jit(self._updated)

    def start(self, parameters: Parameters) -> State:
        with jax.enable_x64(True):
            return _named(self.transform.init(_arrays(parameters)))

    def step(
        self, parameters: Parameters, gradients: Parameters, state: State
    ) -> tuple[Parameters, State]:
        with jax.enable_x64(True):
            names, structure = self._layout(parameters)
            leaves = [jnp.asarray(state[name]) for name in names]
            tree = jax.tree.unflatten(structure, leaves)
            found = self._update(_arrays(parameters), _arrays(gradients), tree)
            new = {name: np.asarray(value) for name, value in found[0].items()}
            values = map(np.asarray, jax.tree.leaves(found[1]))
            return new, dict(zip(names, values, strict=True))

    def _layout(self, parameters: Parameters) -> tuple[list[str], Any]:
        """Names of the leaves of the state, and its structure: always the same."""
        if self._found is None:
            tree = jax.eval_shape(self.transform.init, _arrays(parameters))
            self._found = _names(tree), jax.tree.structure(tree)
        return self._found

    def _updated(self, parameters: Any, gradients: Any, state: Any) -> Any:
        updates, state = self.transform.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state


def _arrays(parameters: Parameters) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in parameters.items()}


def _names(tree: Any) -> list[str]:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [jax.tree_util.keystr(path) for path, _ in paths]


def _named(tree: Any) -> State:
    leaves = map(np.asarray, jax.tree.leaves(tree))
    return dict(zip(_names(tree), leaves, strict=True))
