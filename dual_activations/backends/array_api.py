"""Any array-API library without automatic differentiation, such as NumPy."""

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace, device

Array = Any


def constant(a: Any, like: Array) -> Array:
    """A NumPy array in the library, dtype and device of ``like``."""
    xp = array_namespace(like)
    return xp.asarray(a, dtype=like.dtype, device=device(like))


def double(x: Array) -> Array:
    """x in float64."""
    xp = array_namespace(x)
    return xp.astype(x, xp.float64)


def known(x: Array) -> float | None:
    """The number in a 0-d array; never None here."""
    return float(x)


def slope(fn: Callable[[Array], Array], x: Array, room: Array) -> Array:
    """f'(x) by central differences, which step over less than ``room``."""
    xp = array_namespace(x)
    eps = xp.finfo(x.dtype).eps
    size = xp.maximum(xp.abs(x), xp.ones_like(x))
    # At a kink itself there is no room, but the difference needs some.
    h = xp.maximum(xp.minimum(eps ** (1 / 3) * size, 0.5 * room), 4 * eps * size)
    above, below = x + h, x - h
    return (fn(above) - fn(below)) / (above - below)


def matmul(a: Array, b: Array) -> Array:
    """a @ b."""
    return a @ b


def total(
    term: Callable[..., tuple[Array, ...]], constants: Array, arrays: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The sum of ``term(row, *arrays)`` over the rows of ``constants``."""
    sums = term(constants[0, :], *arrays)
    for i in range(1, constants.shape[0]):
        more = term(constants[i, :], *arrays)
        sums = tuple(s + m for s, m in zip(sums, more, strict=True))
    return sums


def report(excess: Array, say: Callable[[float], None]) -> None:
    """Nothing is hidden by tracing here; ``known`` has been asked already."""
    raise TypeError(f"cannot read a number from {type(excess).__name__}")
