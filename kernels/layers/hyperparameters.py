"""The array-valued fields of a network: the hyperparameters that have gradients."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from numbers import Real
from typing import Any

from array_api_compat import is_array_api_obj


def hyperparameters(net: Any) -> tuple[Any, ...]:
    """Fields of the layers of ``net`` that hold arrays (W_std, b_std), in order."""
    if _is_array(net):
        return (net,)
    if isinstance(net, tuple):
        return sum(map(hyperparameters, net), ())
    if is_dataclass(net):
        values = (getattr(net, field.name) for field in fields(net) if field.init)
        return sum(map(hyperparameters, values), ())
    return ()


def substitute(net: Any, values: tuple[Any, ...]) -> Any:
    """``net`` with its hyperparameters replaced by ``values``, in the same order."""
    return _substitute(net, iter(values)) if values else net


def _substitute(net: Any, values: Iterator[Any]) -> Any:
    if _is_array(net):
        return next(values)
    if isinstance(net, tuple):
        return tuple(_substitute(one, values) for one in net)
    if is_dataclass(net):
        changed = {
            field.name: _substitute(getattr(net, field.name), values)
            for field in fields(net)
            if field.init
        }
        return replace(net, **changed)
    return net


def _is_array(value: Any) -> bool:
    # NumPy's scalars are numbers, although they have the attributes of an array.
    return is_array_api_obj(value) and not isinstance(value, Real)
