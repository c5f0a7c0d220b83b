"""Double precision inside JAX programs that have it switched off."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_float64(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f`` from float32 arrays to float32 arrays, computed in float64 within.

    JAX rounds float64 to float32 unless ``jax_enable_x64`` is set. Here the switch is
    set for ``f`` alone, and for its pull-back, which is wrapped in turn: reverse-mode
    derivatives of any order, ``jit`` and ``vmap`` work. Forward mode (``jax.jvp``) is
    refused by JAX's ``custom_vjp``.
    """

    @jax.custom_vjp
    def single(*args: Any) -> Any:
        with jax.enable_x64(True):
            return _cast(f(*_cast(args, jnp.float64)), jnp.float32)

    def forward(*args: Any) -> tuple[Any, Any]:
        return single(*args), args

    def backward(args: Any, cotangents: Any) -> Any:
        def pull_back(args: Any, cotangents: Any) -> Any:
            return jax.vjp(f, *args)[1](cotangents)

        return in_float64(pull_back)(args, cotangents)

    single.defvjp(forward, backward)
    return single


def has_float64() -> bool:
    """Whether JAX keeps float64 arrays as they are."""
    return bool(jax.config.jax_enable_x64)


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda a: a.astype(dtype), tree)
