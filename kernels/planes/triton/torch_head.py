"""The head of a program on tensors: operations on one number per pair of images."""

from dataclasses import dataclass

import torch

from ..program import Activate, Add, Affine, Normalize, Op, Push, Swap

Tensor = torch.Tensor


@dataclass(frozen=True)
class Scalars:
    """k and t ``[n, m]``, t None where it is not wanted; the variances of both sides,
    ``[n, 1]`` and ``[1, m]``, None where the head does not need them."""

    k: Tensor
    t: Tensor | None
    v1: Tensor | None = None
    v2: Tensor | None = None

    def map(self, function) -> "Scalars":
        """Apply a function to every tensor."""
        fields = (self.k, self.t, self.v1, self.v2)
        return Scalars(*(x if x is None else function(x) for x in fields))


def needs_variances(ops: tuple[Op, ...]) -> bool:
    """Whether the head depends on the variances of the inputs."""
    return any(isinstance(op, Activate | Normalize) for op in ops)


def run_head(ops: tuple[Op, ...], value: Scalars) -> Scalars:
    """The value after the head; torch differentiates it."""
    stack: list[Scalars] = []
    for op in ops:
        if isinstance(op, Push):
            stack.append(value)
        elif isinstance(op, Swap):
            stack[-1], value = value, stack[-1]
        elif isinstance(op, Add):
            value = _sum(value, stack.pop())
        elif isinstance(op, Affine):
            value = _affine(op, value)
        elif isinstance(op, Normalize):
            value = _normalize(op, value)
        else:
            value = _activate(op, value)
    return value


def _sum(a: Scalars, b: Scalars) -> Scalars:
    pairs = ((a.k, b.k), (a.t, b.t), (a.v1, b.v1), (a.v2, b.v2))
    return Scalars(*(x if x is None else x + y for x, y in pairs))


def _affine(op: Affine, x: Scalars) -> Scalars:
    new = x.map(lambda v: op.w * v + op.b)
    t = None if x.t is None else op.w * x.t + op.u * x.k + op.v
    return Scalars(new.k, t, new.v1, new.v2)


def _normalize(op: Normalize, x: Scalars) -> Scalars:
    r1, r2 = (_inverse_std(v + op.eps) for v in (x.v1, x.v2))
    t = None if x.t is None else x.t * (r1 * r2)
    return Scalars(x.k * (r1 * r2), t, x.v1 * r1**2, x.v2 * r2**2)


def _inverse_std(v: Tensor) -> Tensor:
    return torch.where(v > 0, torch.where(v > 0, v, 1) ** -0.5, 0)


def _activate(op: Activate, x: Scalars) -> Scalars:
    k, slope = op.activation.value_and_derivative(x.v1, x.v2, x.k)
    own1, own2 = (op.activation.variance(v) for v in (x.v1, x.v2))
    return Scalars(k, None if x.t is None else x.t * slope, own1, own2)
