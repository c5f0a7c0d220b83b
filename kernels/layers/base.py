"""What every layer description is: frozen data, interpreted by the engines."""

from dataclasses import dataclass
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A description of one layer. It computes nothing: every engine keeps one rule per
    layer class."""


def positive_ints(owner: str, name: str, value: Any) -> tuple[int, ...]:
    """``value`` as a tuple of ints >= 1, or an error that names the argument."""
    entries = tuple(value) if isinstance(value, (tuple, list)) else None
    if entries is None or not all(
        isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in entries
    ):
        raise ValueError(
            f"{owner}: {name} is {value!r}, expected a tuple of integers >= 1, one per "
            "spatial axis, e.g. (3, 3)"
        )
    return entries


def one_of(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    """``value`` if it is one of ``choices`` (upper or lower case), or an error that
    lists them."""
    for choice in choices:
        if isinstance(value, str) and value.lower() == choice.lower():
            return choice
    raise ValueError(
        f"{owner}: {name} is {value!r}, expected one of {', '.join(map(repr, choices))}"
    )


def width(owner: str, name: str, value: Any) -> int:
    """``value`` as a number of units or channels, an int >= 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{owner}: {name} is {value!r}, expected an integer >= 1 (infinite-width "
            "kernels use it only in FanInConcat and 'standard')"
        )
    return value


def scale(owner: str, name: str, value: Any) -> Any:
    """``value`` if it can be a standard deviation; an array scalar passes, so that it
    can be differentiated."""
    if isinstance(value, (Real,)) and not (value >= 0 and value < float("inf")):
        raise ValueError(
            f"{owner}: {name} is {value!r}, expected a finite standard deviation >= 0"
        )
    if isinstance(value, (str, bytes, tuple, list)):
        raise TypeError(f"{owner}: {name} is {value!r}, expected a number >= 0")
    return value
