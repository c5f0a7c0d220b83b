"""torch: also under autograd and ``torch.func``."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

Array = Any
# Terms kept at a time for the gradient of a long sum: few for memory, many for speed.
ROWS = 8


def constant(a: Any, like: Array) -> Array:
    """A NumPy array in the dtype and on the device of ``like``."""
    return torch.tensor(a, dtype=like.dtype, device=like.device)


def double(x: Array) -> Array:
    """x in float64."""
    return x.double()


def known(x: Array) -> float | None:
    """The number in a 0-d array; None inside ``torch.func.vmap``."""
    try:
        return float(x.detach())
    except RuntimeError:
        return None


def slope(fn: Callable[[Array], Array], x: Array, room: Array) -> Array:
    """f'(x) by differentiation. (Forward mode would give a DeprecationWarning of
    torch.)"""
    y, pull = torch.func.vjp(fn, x)
    return pull(torch.ones_like(y))[0]


def matmul(a: Array, b: Array) -> Array:
    """a @ b."""
    return a @ b


def total(
    term: Callable[..., tuple[Array, ...]], constants: Array, arrays: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The sum of ``term(row, *arrays)`` over the rows of ``constants``; the terms are
    computed again for the gradient rather than kept."""
    needs_grad = torch.is_grad_enabled() and any(a.requires_grad for a in arrays)
    if not needs_grad:
        return _sum(term, constants, *arrays)
    blocks = [
        checkpoint(
            _sum, term, rows, *arrays, use_reentrant=False, preserve_rng_state=False
        )
        for rows in constants.split(ROWS)
    ]
    return tuple(sum(parts[1:], parts[0]) for parts in zip(*blocks, strict=True))


def _sum(term: Callable, constants: Array, *arrays: Array) -> tuple[Array, ...]:
    sums: tuple[Array, ...] | None = None
    for row in constants.unbind(0):
        more = term(row, *arrays)
        sums = more if sums is None else tuple(map(torch.add, sums, more))
    return sums


def report(excess: Array, say: Callable[[float], None]) -> None:
    """torch has no call back out of ``vmap``."""
    raise ValueError(
        "torch.func.vmap hides the norms that the accuracy of this series depends on; "
        "use an activation with a closed form, or a loop instead of vmap"
    )
