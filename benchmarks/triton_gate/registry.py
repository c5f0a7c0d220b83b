"""Kernels as they are really launched, by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Configuration:
    """One kernel, with everything that the compiler is told.

    Args:
        name: path-like, e.g. "gram/relu-3/float32".
        kernel: the ``@triton.jit`` function.
        signature: the type of every argument, e.g. "*fp32", "i32" or "constexpr".
        constants: the values of the constexpr arguments.
        options: of the compiler: num_warps, num_stages.
        tensor_cores: whether its products must run on tensor cores.
        separate: whether its warps must not wait for one another within a loop.
        aligned: arguments that are multiples of 16 in the usual call, as pointers are.
        quick: whether it is compiled in ``make test``.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    options: Mapping[str, int]
    tensor_cores: bool = False
    separate: bool = False
    aligned: tuple[str, ...] = ()
    quick: bool = False


Listing = Callable[[], Iterable[Configuration]]
LISTINGS: list[Listing] = []


def configurations(listing: Listing) -> Listing:
    """Decorator: register a function that lists configurations."""
    LISTINGS.append(listing)
    return listing


def select(pattern: str | None = None, quick: bool = False) -> list[Configuration]:
    """The configurations whose name matches ``pattern`` (a substring or a glob)."""
    return [
        configuration
        for listing in LISTINGS
        for configuration in listing()
        if (configuration.quick or not quick)
        and (not pattern or fnmatchcase(configuration.name, f"*{pattern}*"))
    ]
