"""Kernels of random networks, averaged."""

from typing import Any

import jax
import jax.numpy as jnp

from ..kernel import EmpiricalKernel
from .network import apply, init

Array = Any


def sample_kernels(
    net: Any, x1: Array, x2: Array | None, draws: int, seed: int, want_ntk: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Means of the kernels over random networks, and their standard errors."""
    x1 = jnp.asarray(x1)
    x2 = None if x2 is None else jnp.asarray(x2)
    names = ("nngp", "ntk") if want_ntk else ("nngp",)

    def draw(key: Array) -> dict[str, Array]:
        first, second, third = jax.random.split(key, 3)
        params = init(net, first, x1.shape, x1.dtype)
        f = lambda p, x: apply(net, p, x["x"], x["keys"])  # noqa: E731
        kernel = EmpiricalKernel(f, params, method="structured")
        left = _with_keys(x1, second)
        right = None if x2 is None else _with_keys(x2, third)
        return {name: _ordered(kernel(left, right, name)) for name in names}

    draw = jax.jit(draw)
    mean: dict[str, Array] = {}
    squares: dict[str, Array] = {}
    for r, key in enumerate(jax.random.split(jax.random.key(seed), draws)):
        for name, k in draw(key).items():
            if r == 0:
                mean[name], squares[name] = k, jnp.zeros_like(k)
                continue
            # Welford's update: no cancellation where the kernels hardly vary.
            gap = k - mean[name]
            mean[name] = mean[name] + gap / (r + 1)
            squares[name] = squares[name] + gap * (k - mean[name])
    errors = {name: jnp.sqrt(s / (draws - 1) / draws) for name, s in squares.items()}
    return mean, errors


def _with_keys(x: Array, key: Array) -> dict[str, Array]:
    """Inputs with a random key each: masks of different samples are independent."""
    return {"x": x, "keys": jax.random.key_data(jax.random.split(key, x.shape[0]))}


def _ordered(kernel: Array) -> Array:
    """From ``[n, m, H, H', W, W']`` to ``[n, m, H, W, H', W']``."""
    pairs = range(2, kernel.ndim, 2)
    return jnp.transpose(kernel, (0, 1, *pairs, *(a + 1 for a in pairs)))
