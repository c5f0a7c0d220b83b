"""A network as JSON, ``[layer, arguments, options]``, for libraries that are not ours.

Layer names and arguments are those of ``neural_tangents.stax``; ``serial`` and
``parallel`` take a list of specs. One rule per layer, as in every engine.
"""

from functools import singledispatch
from typing import Any

import tangency as tg
from tangency.kernels.layers import Parallel, Serial

Spec = list[Any]


@singledispatch
def spec(layer: Any) -> Spec:
    """``layer`` as plain lists, strings and numbers."""
    raise TypeError(
        f"spec: layer is {layer!r}, a {type(layer).__name__} without a rule here; "
        "register one in benchmarks/peers/spec.py"
    )


@spec.register
def _(layer: Serial) -> Spec:
    return ["serial", [spec(inner) for inner in layer.layers], {}]


@spec.register
def _(layer: Parallel) -> Spec:
    return ["parallel", [spec(branch) for branch in layer.branches], {}]


@spec.register
def _(layer: tg.Dense) -> Spec:
    return ["Dense", [layer.out_dim], _weights(layer)]


@spec.register
def _(layer: tg.Conv) -> Spec:
    window = {"strides": list(layer.strides), "padding": layer.padding}
    arguments = [layer.out_chan, list(layer.filter_shape)]
    return ["Conv", arguments, {**window, **_weights(layer)}]


@spec.register
def _(layer: tg.AvgPool) -> Spec:
    options = {"normalize_edges": layer.normalize_edges}
    return ["AvgPool", _window(layer), options]


@spec.register
def _(layer: tg.SumPool) -> Spec:
    return ["SumPool", _window(layer), {}]


@spec.register(tg.GlobalAvgPool)
@spec.register(tg.GlobalSumPool)
@spec.register(tg.Flatten)
@spec.register(tg.Identity)
@spec.register(tg.FanInSum)
@spec.register(tg.FanInProd)
@spec.register(tg.Relu)
@spec.register(tg.Gelu)
def _(layer: Any) -> Spec:
    return [type(layer).__name__, [], {}]


@spec.register
def _(layer: tg.FanOut) -> Spec:
    return ["FanOut", [layer.num], {}]


@spec.register
def _(layer: tg.LayerNorm) -> Spec:
    return ["LayerNorm", [list(layer.axis), layer.eps], {}]


@spec.register
def _(layer: tg.ABRelu) -> Spec:
    return ["ABRelu", [layer.a, layer.b], {}]


@spec.register
def _(layer: tg.Erf) -> Spec:
    return ["Erf", [layer.a, layer.b, layer.c], {}]


def _weights(layer: tg.Dense | tg.Conv) -> dict[str, Any]:
    return {
        "W_std": float(layer.W_std),
        "b_std": None if layer.b_std is None else float(layer.b_std),
        "parameterization": layer.parameterization,
    }


def _window(layer: tg.SumPool) -> list[Any]:
    return [list(layer.window_shape), list(layer.strides), layer.padding]
