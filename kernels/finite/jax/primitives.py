"""The operations on parameters that keep them readable as views."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from .views import Step, View

Array = Any


def evaluate(eqn: Any, operands: Sequence[Array]) -> list[Array]:
    """The outputs of one equation of a jaxpr."""
    out = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def extend(eqn: Any, operands: Sequence[Any]) -> list[View] | None:
    """The views that an equation makes of a view; None if it does something else."""
    which = [i for i, x in enumerate(operands) if isinstance(x, View)]
    if len(which) != 1:
        return None
    rule = _RULES.get(eqn.primitive.name)
    return rule(eqn, operands, which[0]) if rule else None


def index_step(view: View, i: int) -> View:
    """Entry i of the first axis, as a scan over a stack of parameters reads it."""
    step = Step(
        lambda w: lax.index_in_dim(w, i, 0, keepdims=False), lambda where: where[i]
    )
    aval = jax.ShapeDtypeStruct(view.aval.shape[1:], view.aval.dtype)
    return view.then(aval, step)


def _moved(index: Callable[[Any, np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """A rule for operations that only move entries."""

    def rule(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
        step = Step(lambda w: evaluate(eqn, [w])[0], lambda p: index(eqn, p))
        return [operands[which].then(eqn.outvars[0].aval, step)] if which == 0 else None

    return rule


def _broadcast(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    out, view = eqn.outvars[0].aval, operands[0]
    spread = out.size != view.aval.size
    dims = eqn.params["broadcast_dimensions"]

    def index(p: np.ndarray) -> np.ndarray:
        shape = [1] * out.ndim
        for axis, d in enumerate(dims):
            shape[d] = p.shape[axis]
        return np.broadcast_to(p.reshape(shape), out.shape)

    step = Step(lambda w: evaluate(eqn, [w])[0], index, spread=spread)
    return [view.then(out, step)]


def _cast(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    out = eqn.outvars[0].aval
    if not np.issubdtype(out.dtype, np.inexact) and out.dtype.name != "bfloat16":
        return None
    return [operands[0].then(out, Step(lambda w: evaluate(eqn, [w])[0]))]


def _negate(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    return [operands[0].then(eqn.outvars[0].aval, Step(lambda w: -w, scale=-1.0))]


def _scaled(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    """Multiplication by a number, which may depend on the sample."""
    name = eqn.primitive.name
    other = operands[1 - which]
    if np.ndim(other) != 0 or (name == "div" and which != 0):
        return None
    view = operands[which]
    if view.aval.ndim == 0:
        return None
    if name == "div":
        step = Step(lambda w: w / other, scale=1 / other)
    else:
        step = Step(lambda w: w * other, scale=other)
    return [view.then(eqn.outvars[0].aval, step)]


def _copied(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    return [operands[0]] if len(operands) == 1 else None


def _split(eqn: Any, operands: Sequence[Any], which: int) -> list[View] | None:
    axis, sizes = eqn.params["axis"], [int(s) for s in eqn.params["sizes"]]
    out = []
    for k, size in enumerate(sizes):
        start = sum(sizes[:k])
        step = Step(
            lambda w, a=start, b=start + size: lax.slice_in_dim(w, a, b, axis=axis),
            lambda p, a=start, b=start + size: np.take(p, range(a, b), axis=axis),
        )
        out.append(operands[0].then(eqn.outvars[k].aval, step))
    return out


def _slice_index(eqn: Any, p: np.ndarray) -> np.ndarray:
    q = eqn.params
    strides = q["strides"] or (1,) * p.ndim
    return p[
        tuple(
            slice(a, b, s)
            for a, b, s in zip(
                q["start_indices"], q["limit_indices"], strides, strict=True
            )
        )
    ]


_RULES: dict[str, Callable[..., list[View] | None]] = {
    "transpose": _moved(lambda e, p: np.transpose(p, e.params["permutation"])),
    "reshape": _moved(lambda e, p: p.reshape(e.params["new_sizes"])),
    "squeeze": _moved(lambda e, p: p.reshape(e.outvars[0].aval.shape)),
    "expand_dims": _moved(lambda e, p: p.reshape(e.outvars[0].aval.shape)),
    "rev": _moved(lambda e, p: np.flip(p, e.params["dimensions"])),
    "slice": _moved(_slice_index),
    "split": _split,
    "broadcast_in_dim": _broadcast,
    "convert_element_type": _cast,
    "neg": _negate,
    "mul": _scaled,
    "div": _scaled,
    "copy": _copied,
    "copy_p": _copied,
    "optimization_barrier": _copied,
}
