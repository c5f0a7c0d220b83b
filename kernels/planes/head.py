"""The head of a program: operations on one number per pair, after the readout."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .cpu_partials import dual_partials
from .program import Activate, Add, Affine, Normalize, Op, Push, Swap

Array = Any


@dataclass
class Scalars:
    """k and t of a block of pairs ``[n, m]``, and the variances ``[n]`` and ``[m]``.

    t is None where it is not wanted; a gradient has the same form.
    """

    k: Array
    t: Array | None
    v1: Array
    v2: Array

    def copy(self) -> "Scalars":
        t = None if self.t is None else self.t.copy()
        return Scalars(self.k.copy(), t, self.v1.copy(), self.v2.copy())


def run_head(ops: tuple[Op, ...], entry: Scalars) -> tuple[Scalars, list[Scalars]]:
    """The value after the head, and the one before every operation."""
    stack, value, history = [], entry, []
    for op in ops:
        history.append(value)
        if isinstance(op, Push):
            stack.append(value)
        elif isinstance(op, Swap):
            stack[-1], value = value, stack[-1]
        elif isinstance(op, Add):
            value = _sum(value, stack.pop())
        else:
            value = _apply(op, value)
    return value, history


def _sum(a: Scalars, b: Scalars) -> Scalars:
    t = None if a.t is None else a.t + b.t
    return Scalars(a.k + b.k, t, a.v1 + b.v1, a.v2 + b.v2)


def _apply(op: Op, x: Scalars) -> Scalars:
    if isinstance(op, Affine):
        t = None if x.t is None else op.w * x.t + op.u * x.k + op.v
        return Scalars(op.w * x.k + op.b, t, op.w * x.v1 + op.b, op.w * x.v2 + op.b)
    if isinstance(op, Normalize):
        r1, r2 = _inverse_std(x.v1, op.eps), _inverse_std(x.v2, op.eps)
        factor = r1[:, None] * r2
        t = None if x.t is None else x.t * factor
        return Scalars(x.k * factor, t, x.v1 * r1**2, x.v2 * r2**2)
    both = dual_partials(op.activation, x.v1[:, None], x.v2, x.k)
    own1, own2 = (dual_partials(op.activation, v, v, v)[0] for v in (x.v1, x.v2))
    t = None if x.t is None else x.t * both[1]
    return Scalars(both[0], t, own1, own2)


def _inverse_std(v: Array, eps: float) -> Array:
    positive = v + eps > 0
    return np.where(positive, np.where(positive, v + eps, 1.0) ** -0.5, 0.0)


def head_gradient(
    ops: tuple[Op, ...], history: list[Scalars], gradient: Scalars
) -> Scalars:
    """The gradient before the head, given the one after it."""
    stack: list[Scalars] = []
    for op, x in zip(ops[::-1], history[::-1], strict=True):
        if isinstance(op, Add):
            stack.append(gradient.copy())
        elif isinstance(op, Swap):
            stack[-1], gradient = gradient, stack[-1]
        elif isinstance(op, Push):
            gradient = _sum(gradient, stack.pop())
        else:
            gradient = _pull(op, x, gradient)
    return gradient


def _pull(op: Op, x: Scalars, g: Scalars) -> Scalars:
    if isinstance(op, Affine):
        k = op.w * g.k if g.t is None else op.w * g.k + op.u * g.t
        t = None if g.t is None else op.w * g.t
        return Scalars(k, t, op.w * g.v1, op.w * g.v2)
    if isinstance(op, Normalize):
        r1, r2 = _inverse_std(x.v1, op.eps), _inverse_std(x.v2, op.eps)
        factor = r1[:, None] * r2
        both = g.k * x.k if g.t is None else g.k * x.k + g.t * x.t
        # The derivative of (v + eps)^(-1/2) is -1/2 (v + eps)^(-3/2).
        v1 = g.v1 * (r1**2 - x.v1 * r1**4) - 0.5 * (both * factor).sum(1) * r1**2
        v2 = g.v2 * (r2**2 - x.v2 * r2**4) - 0.5 * (both * factor).sum(0) * r2**2
        return Scalars(g.k * factor, None if g.t is None else g.t * factor, v1, v2)
    _, slope, c, slope_c, p, q, slope_p, slope_q = dual_partials(
        op.activation, x.v1[:, None], x.v2, x.k
    )
    k, along1, along2 = g.k * c, g.k * p, g.k * q
    t = None
    if g.t is not None:
        gain = g.t * x.t
        k = k + gain * slope_c
        along1, along2 = along1 + gain * slope_p, along2 + gain * slope_q
        t = g.t * slope
    v1 = along1.sum(1) + g.v1 * _own_slope(op, x.v1)
    v2 = along2.sum(0) + g.v2 * _own_slope(op, x.v2)
    return Scalars(k, t, v1, v2)


def _own_slope(op: Activate, v: Array) -> Array:
    """Derivative of k(v, v, v)."""
    _, _, c, _, p, q, _, _ = dual_partials(op.activation, v, v, v)
    return c + p + q
