r"""What a fully connected network does to one pair of rows, as numbers for an engine.

A pair is carried as (e, t): e = 1 - k / (s1 s2) is one minus the correlation, s the
standard deviations of both rows, and t the NTK. The angle of nearly equal rows is about
sqrt(2 e), so e is kept, and never formed as a difference after the first layer:

* k' = w k + b and sums of branches turn (s, sqrt(b)) / s' into points (a1, b1), (a2, b2)
  of the unit circle, and e' = a1 a2 e + |(a1 - a2, b1 - b2)|^2 / 2;
* a rectifier has e' = e - (g / m)(sin(theta) - theta cos(theta)), all of e alone;
* other duals have e' = 1 - k' / (s1' s2').

Everything that depends on one row is a map, ``[maps, n]``, computed once per row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from .encode_activation import dual_of
from .families import Dual, Family, inverse_std
from .program import Activate, Add, Affine, Normalize, Program, Push, Swap

PARAMETERS = 8


class Step(IntEnum):
    """Operations on (e, t)."""

    SCALE = 0  # affine without a bias: maps s
    AFFINE = 1  # maps s, a, b
    RECTIFY = 2  # map s
    DUAL = 3  # maps s, 1 / s', and those of the family
    NORMALIZE = 4  # map 1 / sqrt(p + eps)
    ADD = 5  # maps a, b


# Columns of ``Plan.ops``. Values are numbered in the order they are computed.
COLUMN = IntEnum("COLUMN", "step family source other target map slot keep", start=0)
# Sums over the other input that the reverse sweep makes for every row.
_SLOTS = {
    Step.SCALE: 1,
    Step.AFFINE: 2,
    Step.RECTIFY: 0,
    Step.DUAL: 3,
    Step.NORMALIZE: 1,
    Step.ADD: 1,
}


@dataclass(frozen=True)
class _Item:
    """One operation: its program operation, and the dual of an activation."""

    step: Step
    source: int
    other: int
    target: int
    op: Any
    dual: Dual | None

    @property
    def maps(self) -> int:
        return 2 + self.dual.parts if self.step == Step.DUAL else _MAPS[self.step]


_MAPS = {Step.SCALE: 1, Step.AFFINE: 3, Step.RECTIFY: 1, Step.NORMALIZE: 1, Step.ADD: 2}


class Plan:
    """The operations of a program of one pixel in the order of computation.

    Attributes:
        ops: int64 ``[ops, len(COLUMN)]``; ``keep`` says whether the source is read
            again later.
        parameters: float64 ``[ops, PARAMETERS]``.
        result: number of the value that is the result.
        values: how many values there are.
        maps, slots: how many maps and how many sums; the last of both is the result's,
            the last but one slot that of the inputs.
        exact: whether float32 keeps e accurate. After a smooth dual it is a difference;
            that matters only where an angle is taken again.
    """

    def __init__(self, program: Program) -> None:
        if not program.one_pixel:
            raise ValueError(
                f"the program has images of {program.shape} pixels or operations before "
                "its head, expected a fully connected network"
            )
        self.channels = program.channels
        self.items = self._number(program)
        self.values = 1 + len(self.items)
        self.maps = sum(item.maps for item in self.items) + 1
        self.slots = sum(_SLOTS[item.step] for item in self.items) + 2
        self.ops, self.parameters = self._tables()
        self.exact = self._is_exact()

    def _number(self, program: Program) -> list[_Item]:
        items: list[_Item] = []
        current, stack = 0, []
        for op in program.head:
            if isinstance(op, Push):
                stack.append(current)
                continue
            if isinstance(op, Swap):
                current, stack[-1] = stack[-1], current
                continue
            other, dual = -1, None
            if isinstance(op, Affine):
                step = Step.AFFINE if op.b else Step.SCALE
            elif isinstance(op, Normalize):
                step = Step.NORMALIZE
            elif isinstance(op, Add):
                step, other = Step.ADD, stack.pop()
            elif isinstance(op, Activate):
                dual = dual_of(op.activation)
                rectifier = dual.family == Family.RECTIFIER
                step = Step.RECTIFY if rectifier else Step.DUAL
            else:
                raise TypeError(f"{type(op).__name__} cannot follow the readout")
            target = len(items) + 1
            items.append(_Item(step, current, other, target, op, dual))
            current = target
        self.result = current
        return items

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        ops = np.zeros((len(self.items), len(COLUMN)), np.int64)
        parameters = np.zeros((len(self.items), PARAMETERS))
        last = {self.result: len(self.items)}
        for o, item in enumerate(self.items):
            last[item.source] = last[item.other] = o
        at = slot = 0
        for o, item in enumerate(self.items):
            family = item.dual.family if item.dual else -1
            keep = last[item.source] > o or item.source == item.other
            ops[o] = (
                item.step,
                family,
                item.source,
                item.other,
                item.target,
                at,
                slot,
                keep,
            )
            parameters[o] = _parameters(item)
            at += item.maps
            slot += _SLOTS[item.step]
        return ops, parameters

    def _is_exact(self) -> bool:
        kinked = (Family.RECTIFIER, Family.SIGN, Family.STEP)
        rounded = False
        for item in self.items:
            if item.dual and rounded and item.dual.family in kinked:
                return False
            rounded = rounded or bool(item.dual and item.dual.family not in kinked)
        return True

    def variances(self, p: np.ndarray) -> list[np.ndarray]:
        """The variance of every value, from those of the inputs, float64 ``[n]``."""
        values = [p]
        for item in self.items:
            v, op = values[item.source], item.op
            if isinstance(op, Affine):
                v = op.w * v + op.b
            elif isinstance(op, Activate):
                v = np.asarray(op.activation.variance(v), np.float64)
            elif isinstance(op, Normalize):
                v = v / (v + op.eps) if op.eps else np.where(v > 0, 1.0, 0.0)
            else:
                v = v + values[item.other]
            values.append(v)
        return values

    def row_maps(self, values: list[np.ndarray]) -> np.ndarray:
        """All maps, float64 ``[maps, n]``, from ``variances``."""
        rows: list[np.ndarray] = []
        for item in self.items:
            p, q = values[item.source], values[item.target]
            if item.step == Step.NORMALIZE:
                rows.append(inverse_std(p + item.op.eps))
            elif item.step == Step.ADD:
                rows += circle(p, values[item.other])
            else:
                rows.append(np.sqrt(p))
            if item.step == Step.AFFINE:
                rows += circle(item.op.w * p, np.full_like(p, item.op.b))
            if item.step == Step.DUAL:
                rows.append(inverse_std(q))
                rows.extend(item.dual.maps(p))
        rows.append(np.sqrt(values[self.result]))
        return np.stack(rows)

    def pull_back(
        self,
        values: list[np.ndarray],
        maps: np.ndarray,
        sums: np.ndarray,
        variance_slope: Callable[[Dual, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The derivative in the input variances, ``[n]``, from the sums of the reverse
        sweep ``[slots, n]``. ``variance_slope(dual, p)`` is d k(p, p, p) / dp.

        A sum is the derivative in log s, in the angle of the point on the circle, or in
        p itself, as each operation needs it.
        """
        bar = [np.zeros_like(values[0]) for _ in values]
        half = [inverse_std(v) ** 2 / 2 for v in values]  # d log(s) / dp
        bar[self.result] += sums[-1] * half[self.result]
        for o in range(len(self.items) - 1, -1, -1):
            item = self.items[o]
            at, slot = self.ops[o, COLUMN.map], self.ops[o, COLUMN.slot]
            source, target, op = item.source, item.target, item.op
            if item.step == Step.NORMALIZE:
                square = maps[at] ** 2
                bar[source] += bar[target] * op.eps * square**2
                bar[source] -= sums[slot] * square / 2
            elif item.step == Step.ADD:
                turn = sums[slot] * maps[at] * maps[at + 1]
                bar[source] += bar[target] + turn * half[source]
                bar[item.other] += bar[target] - turn * half[item.other]
            elif item.step == Step.RECTIFY:
                bar[source] += bar[target] * self.parameters[o, 1]
            elif item.step == Step.DUAL:
                bar[target] += sums[slot + 2] * half[target]
                slope = variance_slope(item.dual, values[source])
                bar[source] += bar[target] * slope + sums[slot + 1]
                bar[source] += sums[slot] * half[source]
            else:
                bar[source] += bar[target] * op.w + sums[slot] * half[source]
                if item.step == Step.AFFINE:
                    turn = sums[slot + 1] * maps[at + 1] * maps[at + 2]
                    bar[source] += turn * half[source]
        return bar[0]


def circle(p: np.ndarray, q: np.ndarray) -> list[np.ndarray]:
    """sqrt(p / (p + q)) and sqrt(q / (p + q)); (1, 0) where both are zero."""
    r = inverse_std(p + q)
    return [np.where(r > 0, np.sqrt(p) * r, 1.0), np.sqrt(q) * r]


def _parameters(item: _Item) -> np.ndarray:
    row = np.zeros(PARAMETERS)
    if isinstance(item.op, Affine):
        row[:3] = item.op.w, item.op.u, item.op.v
    elif item.dual:
        row[: len(item.dual.parameters)] = item.dual.parameters
        if item.step == Step.RECTIFY:
            g, m = item.dual.parameters
            row[2] = g / m if m else 0.0
    return row
