"""The checks that every activation makes of its parameters, and functions of them.

A parameter is a number or an array scalar: the latter can be differentiated.
"""

import math
from numbers import Real
from typing import Any

from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array


def real(owner: str, name: str, value: Any) -> Any:
    """``value`` as a finite Python float, so that it never changes the dtype of an
    array; an array scalar of JAX, torch, ... passes as it is."""
    if is_numpy_array(value) and value.ndim == 0:
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{owner}: {name} is {value!r}, expected a finite number")
        return float(value)
    if is_array_api_obj(value) and value.ndim == 0:
        return value
    raise TypeError(
        f"{owner}: {name} is {value!r} of type {type(value).__name__}, expected a "
        "number or an array scalar"
    )


def nonnegative(owner: str, name: str, value: Any) -> Any:
    """``value`` as a finite number >= 0."""
    value = real(owner, name, value)
    if isinstance(value, float) and value < 0:
        raise ValueError(f"{owner}: {name} is {value!r}, expected a number >= 0")
    return value


def degree(owner: str, value: Any) -> int:
    """``value`` as the degree of a polynomial, an int >= 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 140:
        raise ValueError(
            f"{owner}: degree is {value!r}, expected an integer from 0 to 140; the "
            "moments of higher powers overflow float64"
        )
    return value


def freeze(activation: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass, from its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(activation, name, value)


def cosine_and_sine(x: Any) -> tuple[Any, Any]:
    """cos(x) and sin(x) of a parameter."""
    if isinstance(x, float):
        return math.cos(x), math.sin(x)
    xp = array_namespace(x)
    return xp.cos(x), xp.sin(x)
