"""Networks from the specs of ``tests/data/kernels.json``, and named test networks.

A spec is ``[layer, args, kwargs]`` with the layer names and arguments of
neural-tangents, whose float64 kernels are stored beside it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import tangency as tg

DATA = Path(__file__).parent / "data"
NUMERICAL = {"sigmoid": "Sigmoid", "softplus": "Softplus", "tanh": "Tanh"}
NUMERICAL |= {"silu": "Silu", "swish": "Silu", "elu": "Elu", "mish": "Mish"}


def reference_cases():
    """All cases: ``{name, input, spec}``."""
    return json.loads((DATA / "kernels.json").read_text())


def reference_arrays(name):
    """x1, x2, nngp and ntk of a case."""
    with np.load(DATA / "kernels.npz") as file:
        return tuple(file[f"{name}/{key}"] for key in ("x1", "x2", "nngp", "ntk"))


def build(spec):
    """The network that a spec describes; skips where a layer does not exist yet."""
    name, args, kwargs = spec
    args = [_tuples(a) for a in args]
    kwargs = {k: _tuples(v) for k, v in kwargs.items()}
    if name in ("serial", "parallel"):
        return getattr(tg, name)(*(build(inner) for inner in spec[1]))
    if name == "repeat":
        return tg.repeat(build(args[0]), *args[1:], **kwargs)
    if name == "Dropout":
        keep = args[0] if args else kwargs.pop("rate")
        return tg.Dropout(1 - keep, *args[1:], **kwargs)
    if name == "ElementwiseNumerical":
        return getattr(tg, NUMERICAL[args[0]])()
    if not hasattr(tg, name):
        pytest.skip(f"{name} is not a layer of tangency")
    return getattr(tg, name)(*args, **kwargs)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
