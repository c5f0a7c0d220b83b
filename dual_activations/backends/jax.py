"""JAX: also inside ``jit``, ``grad`` and ``vmap``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp

Array = Any


def constant(a: Any, like: Array) -> Array:
    """A NumPy array in the dtype of ``like``; JAX moves it where it is used."""
    return jnp.asarray(a, dtype=like.dtype)


def double(x: Array) -> Array:
    """x in float64 where JAX has it switched on, else in float32."""
    return x.astype(jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)


def known(x: Array) -> float | None:
    """The number in a 0-d array; None inside ``jit`` or ``vmap``."""
    try:
        return float(x)
    except jax.errors.ConcretizationTypeError:
        return None


def slope(fn: Callable[[Array], Array], x: Array, room: Array) -> Array:
    """f'(x) by forward-mode differentiation."""
    return jax.jvp(fn, (x,), (jnp.ones_like(x),))[1]


def matmul(a: Array, b: Array) -> Array:
    """a @ b; accelerators would otherwise round float32 to fewer digits."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@partial(jax.jit, static_argnums=0)
def total(
    term: Callable[..., tuple[Array, ...]], constants: Array, arrays: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The sum of ``term(row, *arrays)`` over the rows of ``constants``: one loop, whose
    terms are computed again for the gradient. It is compiled once for each term, which
    should therefore be a function of a module."""

    @jax.checkpoint
    def add(sums: tuple[Array, ...], row: Array) -> tuple[tuple[Array, ...], None]:
        more = term(row, *arrays)
        return tuple(s + m for s, m in zip(sums, more, strict=True)), None

    shapes = jax.eval_shape(lambda: term(constants[0], *arrays))
    zeros = tuple(jnp.zeros(s.shape, s.dtype) for s in shapes)
    return jax.lax.scan(add, zeros, constants)[0]


def report(excess: Array, say: Callable[[float], None]) -> None:
    """Call ``say(excess)`` when the compiled function runs."""
    jax.debug.callback(lambda value: say(float(value)), excess)
