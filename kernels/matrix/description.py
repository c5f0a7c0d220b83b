"""A kernel in words that fit into JSON: to tell two apart, and to make one again."""

from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from ... import dual_activations
from .. import layers
from ..kernel import ExactKernel
from .host import as_numpy
from .tile_file import digest

PLAIN = (bool, int, float, str, type(None))


def describe(thing: Any) -> Any:
    """What ``thing`` is, by value: equal descriptions mean equal kernels.

    Dataclasses are their class and fields; arrays of one entry are that number, others
    a digest; a function is its name and a digest of its code, its defaults and what it
    encloses.
    """
    if isinstance(thing, np.generic) or is_array_api_obj(thing):
        return _array(as_numpy("kernel", thing))
    if isinstance(thing, PLAIN):
        return thing
    if isinstance(thing, (tuple, list)):
        return [describe(one) for one in thing]
    if isinstance(thing, dict):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, type):
        return {"class": _name(thing)}
    if is_dataclass(thing):
        values = {f.name: describe(getattr(thing, f.name)) for f in fields(thing)}
        return {"class": _name(type(thing)), **values}
    if isinstance(thing, partial):
        return {"partial": describe([thing.func, thing.args, thing.keywords])}
    if isinstance(thing, FunctionType):
        return _function(thing)
    inside = getattr(thing, "__dict__", None)
    return {"class": _name(type(thing)), **(describe(inside) if inside else {})}


def rebuild(description: Any) -> Any:
    """The kernel or network that was described.

    Only classes of this package are made, from numbers and words: reading a store runs
    no code of whoever wrote it.

    Raises:
        ValueError: part of it is a function, a large array or a class of somebody else.
    """
    if isinstance(description, list):
        return tuple(rebuild(one) for one in description)
    if not isinstance(description, dict):
        return description
    name = description.get("class", next(iter(description.values()), None))
    cls = _known().get(name) if "class" in description else None
    if cls is None:
        raise ValueError(f"{name!r} is no layer or kernel of tangency")
    made = {f.name for f in fields(cls) if f.init}
    return cls(**{k: rebuild(v) for k, v in description.items() if k in made})


def differences(here: Any, there: Any, at: str = "") -> list[str]:
    """Where two descriptions differ, one phrase each."""
    if isinstance(here, dict) and isinstance(there, dict):
        if here.get("class") == there.get("class"):
            label = here.get("class", "").rpartition(".")[2] or at
            both = dict.fromkeys([*here, *there])
            pairs = [(here.get(k), there.get(k), f"{label}.{k}") for k in both]
            return sum((differences(*pair) for pair in pairs), [])
    if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = zip(here, there, strict=True)
        return sum((differences(a, b, at) for a, b in pairs), [])
    return [] if here == there else [f"{at} is {_short(here)}, not {_short(there)}"]


def _known() -> dict[str, type]:
    found = {"ExactKernel": ExactKernel}
    for room in (layers, dual_activations):
        found |= {name: getattr(room, name) for name in room.__all__}
    classes = (c for c in found.values() if isinstance(c, type) and is_dataclass(c))
    return {_name(cls): cls for cls in classes}


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _array(a: np.ndarray) -> Any:
    if a.size == 1 and a.dtype.kind in "fiub":
        return a.item()
    whole = np.ascontiguousarray(a)
    return {
        "array": digest(whole.reshape(-1).view(np.uint8)).hex(),
        "shape": list(a.shape),
        "dtype": str(a.dtype),
    }


def _function(function: FunctionType) -> dict[str, Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return {
        "function": f"{function.__module__}.{function.__qualname__}",
        "code": digest(*_code(function.__code__)).hex(),
        "encloses": describe([function.__defaults__, *cells]),
    }


def _code(code: Any) -> list[bytes]:
    parts = [code.co_code, " ".join(code.co_names).encode()]
    for constant in code.co_consts:
        inner = hasattr(constant, "co_code")
        parts += _code(constant) if inner else [repr(constant).encode()]
    return parts


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
