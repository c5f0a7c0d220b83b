r"""What a fully connected network does to one pair of rows, as numbers for an engine.

A pair is carried as (e, t): e = 1 - k / (s1 s2) is one minus the correlation, s the
standard deviations of both rows, and t the NTK. The angle of nearly equal rows is about
sqrt(2 e), so e is kept, and never formed as a difference after the first layer:

* k' = w k + b and sums of branches turn (s, sqrt(b)) / s' into points (a1, b1) and
  (a2, b2) of the unit circle, and e' = a1 a2 e + |(a1 - a2, b1 - b2)|^2 / 2;
* a rectifier has e' = e - (g / m)(sin(theta) - theta cos(theta)), all of e alone;
* other duals have e' = 1 - k' / (s1' s2').

Everything that depends on one row is a map, ``[maps, n]``, computed once per row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from ...dual_activations import Activation
from .encode_activation import dual_of
from .families import Dual, Family, inverse_std
from .program import Activate, Add, Affine, Normalize, Program, Push, Swap

PARAMETERS = 8


class Step(IntEnum):
    """Operations on (e, t)."""

    SCALE = 0  # affine without a bias: map s
    AFFINE = 1  # maps s, a, b and what rounding does to (a, b)
    SCALE_RECTIFY = 2  # with a rectifier, in one pass: maps s, whether s > 0
    AFFINE_RECTIFY = 3
    DUAL = 4  # maps s, 1 / s', and those of the family
    NORMALIZE = 5  # map 1 / sqrt(p + eps)
    ADD = 6  # maps a, b and what rounding does


BIASED = (Step.AFFINE, Step.AFFINE_RECTIFY)
RECTIFIED = (Step.SCALE_RECTIFY, Step.AFFINE_RECTIFY)
# Columns of ``Plan.ops``. Values are numbered in the order they are computed.
COLUMN = IntEnum("COLUMN", "step family source other target map slot", start=0)
# Columns of ``Plan.parameters`` for the first four steps; a dual has its own.
PAR = IntEnum("PAR", "w u v g m ratio careful", start=0)
_MAPS = {Step.SCALE: 1, Step.SCALE_RECTIFY: 2, Step.AFFINE: 4, Step.AFFINE_RECTIFY: 4}
_MAPS |= {Step.NORMALIZE: 1, Step.ADD: 3}
# Sums over the other input that the reverse sweep makes for every row.
_SLOTS = {Step.SCALE: 1, Step.SCALE_RECTIFY: 1, Step.AFFINE: 2, Step.AFFINE_RECTIFY: 2}
_SLOTS |= {Step.DUAL: 3, Step.NORMALIZE: 1, Step.ADD: 1}
_JUMPS = (Family.SIGN, Family.STEP)
_NOTHING = Affine(1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Item:
    """One operation: the program's, its activation and the dual of it."""

    step: Step
    source: int
    other: int
    target: int
    op: Any
    activation: Activation | None = None
    dual: Dual | None = None

    @property
    def maps(self) -> int:
        return 2 + self.dual.parts if self.step == Step.DUAL else _MAPS[self.step]


class Plan:
    """The operations of a program of one pixel in the order of computation.

    Attributes:
        ops: int64 ``[ops, len(COLUMN)]``.
        parameters: float64 ``[ops, PARAMETERS]``.
        result: number of the value that is the result.
        values: how many values there are.
        maps, slots: how many maps and how many sums; the last of both is the result's,
            the last but one slot that of the inputs.
        exact: whether float32 keeps e accurate. After any dual but a rectifier's it is
            a difference; that matters only where an angle is taken again.
    """

    def __init__(self, program: Program) -> None:
        if not program.one_pixel:
            raise ValueError(
                f"the program has images of {program.shape} pixels or operations "
                "before its head, expected a fully connected network"
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
            other, target = -1, len(items) + 1
            if isinstance(op, Activate):
                dual = dual_of(op.activation)
                step, inner = Step.DUAL, op
                if dual.family == Family.RECTIFIER:
                    step, inner = Step.SCALE_RECTIFY, _NOTHING
                    if items and _fuses(items[-1], current, stack):
                        target, inner = current, items[-1].op
                        current = items.pop().source
                        step = Step.AFFINE_RECTIFY if inner.b else step
                item = _Item(step, current, -1, target, inner, op.activation, dual)
            else:
                step = Step.NORMALIZE
                if isinstance(op, Affine):
                    step = Step.AFFINE if op.b else Step.SCALE
                elif isinstance(op, Add):
                    step, other = Step.ADD, stack.pop()
                elif not isinstance(op, Normalize):
                    raise TypeError(f"{type(op).__name__} cannot follow the readout")
                item = _Item(step, current, other, target, op)
            items.append(item)
            current = target
        self.result = current
        return items

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        ops = np.zeros((len(self.items), len(COLUMN)), np.int64)
        parameters = np.zeros((len(self.items), PARAMETERS))
        at = slot = 0
        for o, item in enumerate(self.items):
            family = item.dual.family if item.dual else -1
            places = (item.source, item.other, item.target, at, slot)
            ops[o] = (item.step, family, *places)
            parameters[o] = _parameters(item)
            at += item.maps
            slot += _SLOTS[item.step]
        return ops, parameters

    def _is_exact(self) -> bool:
        kinked = (Family.RECTIFIER, *_JUMPS)
        duals = [item.dual.family for item in self.items if item.dual]
        smooth = [n for n, family in enumerate(duals) if family != Family.RECTIFIER]
        return not smooth or not any(f in kinked for f in duals[smooth[0] + 1 :])

    def variances(self, p: np.ndarray) -> list[np.ndarray]:
        """The variance of every value, from those of the inputs, float64 ``[n]``."""
        values = [p]
        for item in self.items:
            v, op = values[item.source], item.op
            if isinstance(op, Affine):
                v = op.w * v + op.b
            elif isinstance(op, Normalize):
                v = v * inverse_std(v + op.eps) ** 2
            elif isinstance(op, Add):
                v = v + values[item.other]
            if item.activation:
                v = np.asarray(item.activation.variance(v), np.float64)
            values.append(v)
        return values

    @property
    def rounding(self) -> list[int]:
        """The maps that say what rounding to float32 does; they count 0 in float64."""
        first = {Step.AFFINE: 3, Step.AFFINE_RECTIFY: 3, Step.ADD: 2}
        steps = [item.step for item in self.items]
        at = self.ops[:, COLUMN.map]
        return [int(m) + first[s] for m, s in zip(at, steps, strict=True) if s in first]

    def row_maps(
        self, values: list[np.ndarray], true: list[np.ndarray] | None = None
    ) -> np.ndarray:
        """All maps, float64 ``[maps, n]``, from ``variances``.

        ``true``: the variances, where ``values`` has small numbers instead of zeros.
        """
        rows: list[np.ndarray] = []
        for item in self.items:
            p, q = values[item.source], values[item.target]
            if item.step == Step.NORMALIZE:
                rows.append(inverse_std(p + item.op.eps))
            elif item.step == Step.ADD:
                rows += circle(p, values[item.other])
            elif true and item.dual and item.dual.family in _JUMPS:
                # Their derivative at a zero row is infinite, and counts 0.
                rows.append(np.sqrt(true[item.source]))
            else:
                rows.append(np.sqrt(p))
            if item.step == Step.SCALE_RECTIFY:
                rows.append((true or values)[item.source] > 0)
            if item.step in BIASED:
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
        variance_slope: Callable[[Activation, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The derivative in the input variances, ``[n]``, from the sums of the reverse
        sweep ``[slots, n]``. ``variance_slope(f, p)`` is d k(p, p, p) / dp.

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
            elif item.step == Step.DUAL:
                bar[target] += sums[slot + 2] * half[target]
                slope = variance_slope(item.activation, values[source])
                bar[source] += bar[target] * slope + sums[slot + 1]
                bar[source] += sums[slot] * half[source]
            else:
                gain = item.dual.parameters[1] if item.dual else 1.0
                bar[source] += bar[target] * gain * op.w + sums[slot] * half[source]
                if item.step in BIASED:
                    turn = sums[slot + 1] * maps[at + 1] * maps[at + 2]
                    bar[source] += turn * half[source]
        return bar[0]


def circle(p: np.ndarray, q: np.ndarray) -> list[np.ndarray]:
    """(a, b) = (sqrt(p / (p + q)), sqrt(q / (p + q))), or (1, 0) where both are zero;
    and the angle by which (a, b) turns back when it is no longer rounded to float32."""
    r = inverse_std(p + q)
    a, b = np.where(r > 0, np.sqrt(p) * r, 1.0), np.sqrt(q) * r
    lost_a, lost_b = (x - x.astype(np.float32) for x in (a, b))
    return [a, b, a * lost_b - b * lost_a]


def _fuses(item: _Item, current: int, stack: list[int]) -> bool:
    """Whether the item is an affine map whose result only the next operation reads."""
    alone = item.target == current and current not in stack
    return alone and item.step in (Step.SCALE, Step.AFFINE)


def _parameters(item: _Item) -> np.ndarray:
    row = np.zeros(PARAMETERS)
    if isinstance(item.op, Affine):
        row[: PAR.v + 1] = item.op.w, item.op.u, item.op.v
        if item.dual:
            g, m = item.dual.parameters
            row[PAR.g], row[PAR.m] = g, m
            row[PAR.ratio] = g / m if m else 0.0
    elif item.dual:
        row[: len(item.dual.parameters)] = item.dual.parameters
    return row
