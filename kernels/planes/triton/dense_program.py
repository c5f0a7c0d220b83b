"""The operations of a fully connected network as constants of Triton kernels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..dense_plan import PAR, Plan, Step
from ..program import Affine, Program
from .encoding import parameters


@dataclass(frozen=True)
class DenseProgram:
    """What ``dense_*.py`` is compiled for; see ``dense_plan.Plan``.

    Attributes:
        ops: of every operation: step, family (-1), source, other (-1), target, slot.
        numbers: of every operation. Linear ones have w, u, v, g, m, g / m and b, a
            normalization has eps, a dual has ``encoding.parameters``.
        alive: whether the variance of each value is positive for a zero row.
        result: number of the value that is the result.
        slots: sums that the reverse sweep makes for every row.
        exact: whether float32 is enough; see ``Plan.exact``.
    """

    ops: tuple[tuple[int, ...], ...]
    numbers: tuple[tuple[float, ...], ...]
    alive: tuple[bool, ...]
    result: int
    slots: int
    exact: bool


@lru_cache(maxsize=64)
def dense_program(program: Program) -> DenseProgram:
    """The constants of a program of one pixel.

    Raises:
        NoDual: an activation that cannot be compiled; the message says why.
    """
    plan = Plan(program)
    keep = [0, 1, 2, 3, 4, 6]  # the columns of ``dense_plan.COLUMN`` but for the map
    zero_row = plan.variances(np.zeros(1))
    return DenseProgram(
        ops=tuple(tuple(int(a) for a in row[keep]) for row in plan.ops),
        numbers=tuple(map(_numbers, plan.items, plan.parameters)),
        alive=tuple(bool(v[0] > 0) for v in zero_row),
        result=plan.result,
        slots=plan.slots,
        exact=plan.exact,
    )


def _numbers(item, row: np.ndarray) -> tuple[float, ...]:
    if item.step == Step.DUAL:
        return parameters(item.dual)
    if item.step == Step.NORMALIZE:
        return (float(item.op.eps),)
    if item.step == Step.ADD:
        return (0.0,)
    b = float(item.op.b) if isinstance(item.op, Affine) else 0.0
    return (*(float(a) for a in row[: PAR.ratio + 1]), b)
