"""Finite networks of a description: random weights, outputs, torch modules."""

from typing import Any

Array = Any
Tree = Any


def init(net: Any, key: Array, input_shape: tuple[int, ...], dtype: Any = None) -> Tree:
    """Random weights of a network, in JAX.

    Weights are nested as the network is: tuples for ``serial`` and ``parallel``, dicts
    with "W" and "b" for layers with weights. 'ntk' layers have standard Gaussian
    weights; 'standard' ones have the deviations W_std / sqrt(fan in) and b_std in the
    weights themselves.

    Args:
        net: a network made by ``serial``.
        key: a JAX random key.
        input_shape: shape of the inputs ``(n, *S, c)``; n is not used.
        dtype: of the weights; JAX's default float otherwise.

    Raises:
        LayerError: the network does not fit such inputs.

    >>> import jax, tangency as tg
    >>> net = tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(2))
    >>> params = tg.init(net, jax.random.key(0), (1, 3))
    >>> tg.apply(net, params, jax.numpy.ones((5, 3))).shape
    (5, 2)
    """
    from .jax import network

    return network.init(net, key, input_shape, dtype)


def apply(net: Any, params: Tree, x: Array, key: Array | None = None) -> Array:
    """The outputs of a network for inputs ``[n, *S, c]``, in JAX.

    Args:
        net: the network that ``init`` was called with.
        params: its weights.
        x: inputs.
        key: for dropout, one random key or one per sample ``[n]``; masks of different
            samples are independent.
    """
    from .jax import network

    return network.apply(net, params, x, key)


def to_torch(net: Any, input_shape: tuple[int, ...], seed: int = 0) -> Any:
    """A network as a ``torch.nn.Module`` with random weights, inputs ``[n, *S, c]``.

    Args:
        net: a network made by ``serial``.
        input_shape: shape of the inputs ``(n, *S, c)``; n is not used.
        seed: seed of the weights.

    Raises:
        LayerError: the network does not fit such inputs.
    """
    from .torch import network

    return network.to_torch(net, input_shape, seed)
