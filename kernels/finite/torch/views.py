"""Parameters, as the tensors that a function reads them as."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Root:
    """A parameter, or a tensor computed from parameters alone.

    Args:
        names: the parameters that it depends on.
        value: the tensor; where it is computed, with a graph back to the parameters.
        exact: whether it is a parameter itself.
    """

    names: tuple[str, ...]
    value: Tensor
    exact: bool = True


@dataclass(frozen=True)
class View:
    """Entries of a root, moved and multiplied by a number.

    Args:
        root: what is read.
        moves: the operations, first to last; they also run on tensors of positions.
        scale: the number.
    """

    root: Root
    moves: tuple[Callable[[Tensor], Tensor], ...] = ()
    scale: Any = field(default=1.0)

    def moved(self, move: Callable[[Tensor], Tensor]) -> "View":
        """The view after one more move."""
        return replace(self, moves=(*self.moves, move))

    def scaled(self, by: Any) -> "View":
        """The view times a number."""
        return replace(self, scale=self.scale * by)

    def positions(self) -> Tensor:
        """Which entry of the root stands where in the view."""
        value = self.root.value
        where = torch.arange(value.numel(), device=value.device).reshape(value.shape)
        for move in self.moves:
            where = move(where)
        return where

    def pull_back(self, rows: Tensor) -> Tensor:
        """Cotangents of the view, ``[..., view]``, to the root: ``[..., P]``."""
        rows = times(rows, self.scale)
        if not self.moves:
            return rows
        out = rows.new_zeros(*rows.shape[:-1], self.root.value.numel())
        return out.index_add_(-1, self.positions().reshape(-1), rows)


def times(t: Tensor, by: Any) -> Tensor:
    """t times a number; t itself where nothing changes."""
    return t if isinstance(by, float) and by == 1.0 else t * by


_VIEW, _DATA, _USE = "_tangency_view", "_tangency_data", "_tangency_use"


def view_of(x: Any) -> View | None:
    """The view that a tensor was marked as."""
    return getattr(x, _VIEW, None) if isinstance(x, Tensor) else None


def mark(x: Tensor, view: View) -> Tensor:
    """Mark a tensor as a view of a parameter."""
    setattr(x, _VIEW, view)
    return x


def is_data(x: Any) -> bool:
    """Whether a tensor was computed from the inputs."""
    return isinstance(x, Tensor) and (x.requires_grad or getattr(x, _DATA, False))


def use_of(x: Any) -> Any:
    """The use of a parameter that a tensor is the result of."""
    return getattr(x, _USE, None)


def mark_use(x: Tensor, use: Any) -> None:
    """Mark a tensor as the result of a use."""
    setattr(x, _USE, use)


def mark_data(x: Any) -> None:
    """Mark every tensor in x as computed from the inputs."""
    for t in tensors(x):
        setattr(t, _DATA, True)


def tensors(x: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, dict):
        return [t for v in x.values() for t in tensors(v)]
    if isinstance(x, (tuple, list)):
        return [t for v in x for t in tensors(v)]
    return []


def replace_tensors(x: Any, new: Callable[[Tensor], Tensor]) -> Any:
    """The same nest with every tensor replaced."""
    if isinstance(x, Tensor):
        return new(x)
    if isinstance(x, dict):
        return {k: replace_tensors(v, new) for k, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(replace_tensors(v, new) for v in x))
    if isinstance(x, (tuple, list)):
        return type(x)(replace_tensors(v, new) for v in x)
    return x
