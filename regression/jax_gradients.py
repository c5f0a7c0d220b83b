"""Gradients from JAX, for an optimiser that works on NumPy arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def value_and_gradient(
    objective: Callable[[jax.Array], jax.Array], like: jax.Array
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The value of ``objective`` and its gradient, at points of the dtype of
    ``like``."""
    compiled = jax.jit(jax.value_and_grad(objective))

    def both(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(jnp.asarray(point, dtype=like.dtype))
        return float(value), np.asarray(gradient, dtype=np.float64)

    return both
