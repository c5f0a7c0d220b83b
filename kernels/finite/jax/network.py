"""Finite networks in JAX: ``init`` and ``apply`` of any described network."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...layers.signature import input_signature
from ..network import Initial, Tools, forward, weights

Array = Any
Tree = Any


def init(net: Any, key: Array, input_shape: tuple[int, ...], dtype: Any = None) -> Tree:
    """Random weights of a network, ``[n, *S, c]`` inputs of shape ``input_shape``.

    'ntk' layers have standard Gaussian weights; 'standard' ones have the deviations
    W_std / sqrt(fan in) and b_std in the weights themselves.

    Args:
        net: a network made by ``serial``.
        key: a JAX random key.
        input_shape: shape of the inputs, batch axis included; its size is not used.
        dtype: of the weights; JAX's default float otherwise.

    Raises:
        LayerError: the network does not fit such inputs.
    """
    if len(input_shape) < 2:
        raise ValueError(
            f"input_shape is {input_shape}, expected (n, features) or "
            "(n, H, W, channels)"
        )
    found = weights(net, input_signature(tuple(input_shape)))
    leaf = lambda w: isinstance(w, Initial)  # noqa: E731
    leaves, tree = jax.tree.flatten(found, is_leaf=leaf)
    keys = jax.random.split(key, max(len(leaves), 1))
    drawn = [
        w.std * jax.random.normal(k, w.shape, dtype or jnp.result_type(float))
        for w, k in zip(leaves, keys, strict=False)
    ]
    return jax.tree.unflatten(tree, drawn)


def apply(net: Any, params: Tree, x: Array, key: Array | None = None) -> Array:
    """The outputs of a network with weights ``params``.

    Args:
        net: the network that ``init`` was called with.
        params: its weights.
        x: inputs ``[n, *S, c]``.
        key: for dropout, one random key, or one per sample ``[n]``: masks of different
            samples are independent.
    """
    keep = None if key is None else _masks(key, x.shape[0])
    return forward(net, params, x, Tools(_convolve, keep))


def _convolve(x: Array, w: Array, strides: tuple[int, ...]) -> Array:
    spatial = "".join(chr(ord("0") + a) for a in range(len(strides)))
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(x, w, strides, "VALID", dimension_numbers=numbers)


def _masks(key: Array, n: int) -> Any:
    single = key.ndim == (0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1)
    keys = jax.random.split(key, n) if single else key

    def keep(shape: tuple[int, ...], fraction: float, number: int) -> Array:
        def one(k: Array) -> Array:
            return jax.random.bernoulli(
                jax.random.fold_in(k, number), fraction, shape[1:]
            )

        return jax.vmap(one)(keys)

    return keep
