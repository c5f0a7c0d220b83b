"""Vectors of outputs, between NumPy and JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def vectors(
    f: Any, params: Any, x: Any
) -> tuple[tuple[int, ...], Callable[..., Any], Callable[..., np.ndarray]]:
    """The shape of f(params, x), and conversions from and to NumPy's float64."""
    out = jax.eval_shape(f, params, x)
    if not hasattr(out, "shape"):
        raise TypeError("f returns a tree, expected one array; choose one output of it")
    return (
        out.shape,
        lambda v: jnp.asarray(v, out.dtype),
        lambda v: np.asarray(v, dtype=float),
    )
