"""Finite networks: the weights of every layer, and how it is computed with them.

Written once for JAX and torch; the convolution and the random numbers are theirs.
Weights are nested as the network is: a tuple for ``serial`` and ``parallel``, a dict
for layers with weights, an empty dict for others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from math import prod
from typing import Any

from array_api_compat import array_namespace

from ...dual_activations import Activation
from ..layers import (
    AvgPool,
    Conv,
    Dense,
    Dropout,
    FanInConcat,
    FanInProd,
    FanInSum,
    FanOut,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Identity,
    LayerNorm,
    Parallel,
    Serial,
    SumPool,
)
from ..layers.signature import Signature, trace
from ..layers.windows import margins

Array = Any
Weights = Any


@dataclass(frozen=True)
class Initial:
    """Independent Gaussian weights.

    Args:
        shape: of the array.
        std: standard deviation.
    """

    shape: tuple[int, ...]
    std: Any


@dataclass
class Tools:
    """What a framework lends to the rules.

    Args:
        convolve: from padded ``[n, *S, c]``, filters ``[*taps, c, j]`` and strides to
            ``[n, *S', j]``.
        keep: from a shape ``[n, ...]``, a fraction and the number of the dropout layer
            to ones where units are kept and zeros elsewhere; None to refuse dropout.
        dropouts: how many dropout layers were met.
    """

    convolve: Callable[[Array, Array, tuple[int, ...]], Array]
    keep: Callable[[tuple[int, ...], float, int], Array] | None = None
    dropouts: int = field(default=0)


def weights(net: Any, signal: Any) -> Weights:
    """The initial distribution of all weights, nested as the network.

    Raises:
        LayerError: the network does not fit inputs of this signature.
    """
    trace(net, signal)
    return _weights(net, signal)


@singledispatch
def _weights(layer: Any, signal: Any) -> Weights:
    return {}


@_weights.register
def _(layer: Serial, signal: Any) -> Weights:
    found = []
    for inner in layer.layers:
        found.append(_weights(inner, signal))
        signal = trace(inner, signal)
    return tuple(found)


@_weights.register
def _(layer: Parallel, signal: tuple[Signature, ...]) -> Weights:
    return tuple(map(_weights, layer.branches, signal))


@_weights.register
def _(layer: Dense, signal: Signature) -> Weights:
    return _gaussian(layer, (signal.channels, layer.out_dim), signal.channels)


@_weights.register
def _(layer: Conv, signal: Signature) -> Weights:
    shape = (*layer.filter_shape, signal.channels, layer.out_chan)
    return _gaussian(layer, shape, prod(shape[:-1]))


def _gaussian(layer: Any, shape: tuple[int, ...], fan_in: int) -> Weights:
    standard = layer.parameterization == "standard"
    found = {"W": Initial(shape, layer.W_std / fan_in**0.5 if standard else 1.0)}
    if layer.b_std is not None:
        found["b"] = Initial(shape[-1:], layer.b_std if standard else 1.0)
    return found


@singledispatch
def forward(layer: Any, weights: Weights, x: Any, tools: Tools) -> Any:
    """The output of a layer for inputs ``[n, *S, c]``, or tuples of them.

    Raises:
        TypeError: there is no rule for the layer.
    """
    raise TypeError(
        f"{type(layer).__name__} has no finite-width rule; use its exact kernel, or "
        "write the network as a function for EmpiricalKernel"
    )


@forward.register
def _(layer: Serial, weights: Weights, x: Any, tools: Tools) -> Any:
    for inner, mine in zip(layer.layers, weights, strict=True):
        x = forward(inner, mine, x, tools)
    return x


@forward.register
def _(layer: Parallel, weights: Weights, x: Any, tools: Tools) -> Any:
    each = zip(layer.branches, weights, x, strict=True)
    return tuple(forward(branch, mine, one, tools) for branch, mine, one in each)


@forward.register
def _(layer: Identity, weights: Weights, x: Array, tools: Tools) -> Array:
    return x


@forward.register
def _(layer: Activation, weights: Weights, x: Array, tools: Tools) -> Array:
    return layer(x)


@forward.register
def _(layer: Dense, weights: Weights, x: Array, tools: Tools) -> Array:
    return _affine(layer, x @ weights["W"], weights, x.shape[-1])


@forward.register
def _(layer: Conv, weights: Weights, x: Array, tools: Tools) -> Array:
    fan_in = prod(layer.filter_shape) * x.shape[-1]
    padded = _pad(x, layer.filter_shape, layer.strides, layer.padding)
    y = tools.convolve(padded, weights["W"], layer.strides)
    return _affine(layer, y, weights, fan_in)


def _affine(layer: Any, y: Array, weights: Weights, fan_in: int) -> Array:
    """y times its scale, which follows the product, and the bias."""
    standard = layer.parameterization == "standard"
    if not standard:
        y = y * (layer.W_std / fan_in**0.5)
    if layer.b_std is None:
        return y
    return y + (weights["b"] if standard else layer.b_std * weights["b"])


@forward.register(SumPool)
@forward.register(AvgPool)
def _(layer: SumPool, weights: Weights, x: Array, tools: Tools) -> Array:
    total = _window_sums(layer, x)
    if not isinstance(layer, AvgPool):
        return total
    if not layer.normalize_edges:
        return total / prod(layer.window_shape)
    return total / _window_sums(layer, array_namespace(x).ones_like(x[:1]))


@forward.register(GlobalAvgPool)
@forward.register(GlobalSumPool)
def _(layer: Any, weights: Weights, x: Array, tools: Tools) -> Array:
    axes = tuple(range(1, x.ndim - 1))
    if not axes:
        return x
    xp = array_namespace(x)
    mean = isinstance(layer, GlobalAvgPool)
    return xp.mean(x, axis=axes) if mean else xp.sum(x, axis=axes)


@forward.register
def _(layer: Flatten, weights: Weights, x: Array, tools: Tools) -> Array:
    return array_namespace(x).reshape(x, (x.shape[0], -1))


@forward.register
def _(layer: LayerNorm, weights: Weights, x: Array, tools: Tools) -> Array:
    """As its description says: the mean is zero at infinite width, and left alone."""
    xp = array_namespace(x)
    axes = tuple(a % x.ndim for a in layer.axis)
    square = xp.mean(x * x, axis=axes, keepdims=True)
    return x / xp.sqrt(square + layer.eps)


@forward.register
def _(layer: Dropout, weights: Weights, x: Array, tools: Tools) -> Array:
    number = tools.dropouts
    tools.dropouts += 1
    if layer.mode == "test" or layer.rate == 0:
        return x
    if tools.keep is None:
        raise ValueError(
            "Dropout in mode 'train' draws random numbers: expected key= (JAX), or "
            "use Dropout(rate, mode='test')"
        )
    return x * tools.keep(tuple(x.shape), 1 - layer.rate, number) / (1 - layer.rate)


@forward.register
def _(layer: FanOut, weights: Weights, x: Array, tools: Tools) -> tuple[Array, ...]:
    return (x,) * layer.num


@forward.register
def _(layer: FanInSum, weights: Weights, x: tuple[Array, ...], tools: Tools) -> Array:
    return sum(x[1:], x[0])


@forward.register
def _(layer: FanInProd, weights: Weights, x: tuple[Array, ...], tools: Tools) -> Array:
    return prod(x[1:], start=x[0])


@forward.register
def _(
    layer: FanInConcat, weights: Weights, x: tuple[Array, ...], tools: Tools
) -> Array:
    return array_namespace(*x).concat(x, axis=layer.axis)


def _pad(
    x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: str
) -> Array:
    """Zeros, or the other side of the image, around the spatial axes."""
    xp = array_namespace(x)
    for axis, (taps, stride) in enumerate(zip(window, strides, strict=True), start=1):
        size = x.shape[axis]
        before, after = margins(size, taps, stride, padding)
        if before + after == 0:
            continue
        if padding == "CIRCULAR":
            index = [i % size for i in range(-before, size + after)]
            parts = [_rows(x, axis, i, i + 1) for i in index]
            x = xp.concat(parts, axis=axis)
        else:
            shape = list(x.shape)
            zeros = []
            for count in (before, after):
                shape[axis] = count
                zeros.append(xp.zeros_like(xp.broadcast_to(x[(0,) * x.ndim], shape)))
            x = xp.concat([zeros[0], x, zeros[1]], axis=axis)
    return x


def _window_sums(layer: SumPool, x: Array) -> Array:
    """Sums over windows, one spatial axis after the other."""
    x = _pad(x, layer.window_shape, layer.strides, layer.padding)
    windows = zip(layer.window_shape, layer.strides, strict=True)
    for axis, (taps, stride) in enumerate(windows, start=1):
        last = x.shape[axis] - taps
        x = sum(_rows(x, axis, k, k + last + 1, stride) for k in range(taps))
    return x


def _rows(x: Array, axis: int, start: int, stop: int, step: int = 1) -> Array:
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, stop, step)
    return x[tuple(index)]
