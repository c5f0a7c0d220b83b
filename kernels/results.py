"""What a kernel returns, and how it is asked for."""

from typing import Any, NamedTuple

Array = Any
NAMES = ("nngp", "ntk")


class Kernels(NamedTuple):
    """The kernels that were asked for; the others are None."""

    nngp: Array | None = None
    ntk: Array | None = None


def wanted(get: Any) -> tuple[str, ...]:
    """The names in ``get``, checked."""
    names = (get,) if isinstance(get, str) else tuple(get) if get else ()
    if not names or any(name not in NAMES for name in names):
        raise ValueError(
            f"get is {get!r}, expected 'nngp', 'ntk' or a tuple of them such as {NAMES}"
        )
    return names


def package(get: Any, names: tuple[str, ...], arrays: tuple[Array, ...]) -> Any:
    """A bare array where one name was asked for by a string, else ``Kernels``."""
    return (
        arrays[0]
        if isinstance(get, str)
        else Kernels(**dict(zip(names, arrays, strict=True)))
    )
