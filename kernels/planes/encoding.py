"""A plane program as arrays of numbers, for the compiled engine.

Everything the engine looks up lies in the arrays of an ``Encoding``, so that one
compiled function runs every program. Columns have names: ``stages[s, ST.height]``.
"""

from collections import namedtuple
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .cone import cone, inside_counts, pool_groups
from .encode_activation import dual_of
from .program import (
    Activate,
    Add,
    Affine,
    Box,
    Normalize,
    Op,
    Program,
    Push,
    Stage,
    Swap,
    track,
)
from .schedule import Schedule

LANES = 16


def _numbered(name: str, fields: str) -> Any:
    """A constant named tuple 0, 1, 2, ..., readable in Numba code."""
    names = fields.split()
    return namedtuple(name, names)(*range(len(names)))


KIND = _numbered("KIND", "fused box affine dual normalize push swap add")
# Lists of a stage are given by their offset in ``Encoding.tables``, weights by their
# offset in ``Encoding.weights``, slots by their offset in the workspace.
ST = _numbered(
    "ST",
    "height width torus fused_start fused_end plain_start plain_end cols row_list "
    "col_list row_groups col_groups col_starts values row_weights col_weights "
    "plane_row slots gradient_slots slot_of gradient_slot_of exit_height exit_width "
    "clear_t",
)
# ``map``: numbers of all maps of one image before those of this operation; ``pixel``:
# pixels of all operations with maps before this one.
OP = _numbered(
    "OP",
    "kind family before0 before1 after0 after1 wrap has_t map height width out_height "
    "out_width save pixel",
)
PARAMETERS, COLUMNS, RUN = 8, len(OP), 7
# Offsets in the workspace, and sizes in elements.
MEM = _numbered(
    "MEM",
    "spare copies scratch buffers buffer_size saves total map_pixels registers pixels",
)


@dataclass(frozen=True)
class Encoding:
    """Arrays that describe a program and the order of its planes.

    Args:
        stages: int64 ``[stages, len(ST)]``.
        ops: int64 ``[ops, len(OP)]``; every stage has a fused and a plain list.
        parameters: ``[ops, PARAMETERS]``: w, b, u, v; from 4 on those of the dual.
        tables: int64, lists of displacements and groups.
        weights: factors of every pooled pixel, per axis.
        events: int64 ``[events, 4]``, see ``Schedule``.
        memory: int64 ``[len(MEM)]``.
    """

    stages: np.ndarray
    ops: np.ndarray
    parameters: np.ndarray
    tables: np.ndarray
    weights: np.ndarray
    events: np.ndarray
    memory: np.ndarray

    @property
    def map_pixels(self) -> int:
        """Numbers of all maps of one image."""
        return int(self.memory[MEM.map_pixels])

    def arrays(self, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        """What the compiled functions take, with numbers in ``dtype``."""
        numbers = (self.parameters.astype(dtype), self.weights.astype(dtype))
        return (self.stages, self.ops, *numbers, self.tables, self.events, self.memory)


def truncated(program: Program, stage: int) -> Program:
    """The program that ends with d = 0 of ``stage``: what its variances depend on."""
    last = replace(program.stages[stage], pool=None)
    return Program(program.channels, (*program.stages[:stage], last), "flatten", ())


def encode(program: Program, backward: bool = False, saves: bool = False) -> Encoding:
    """The arrays of ``program`` without its head, for a value or for a gradient.

    With ``saves``, or ``backward``, there is room for what operations are given.
    """
    return _Encoder(program, backward, saves or backward).finish()


class _Encoder:
    def __init__(self, program: Program, backward: bool, saves: bool) -> None:
        self.program, self.backward, self.saves = program, backward, saves
        self.needs = cone(program)
        self.tables: list[int] = []
        self.weights: list[float] = []
        self.ops: list[list[int]] = []
        self.parameters: list[list[float]] = []
        self.stages = np.zeros((len(program.stages), len(ST)), np.int64)
        self.map = self.pixel = 0
        self.saved = 0
        self.has_t = False

    def finish(self) -> Encoding:
        stages = self.program.stages
        feeds = []
        for s, stage in enumerate(stages):
            self._stage(s, stage)
            if s > 0:
                feeds.append(self._pool(s - 1))
        rows = [len(need.rows) for need in self.needs]
        schedule = Schedule(rows, feeds, self.backward)
        memory = self._memory(schedule)
        for s in range(len(stages)):
            self.stages[s, ST.slot_of] = self._list(schedule.slot_of[s])
            gradient_slots = self._list(schedule.gradient_slot_of[s])
            self.stages[s, ST.gradient_slot_of] = gradient_slots
        return Encoding(
            self.stages,
            np.array(self.ops, np.int64).reshape(-1, len(OP)),
            np.array(self.parameters, np.float64).reshape(-1, PARAMETERS),
            np.array(self.tables, np.int64),
            np.array(self.weights, np.float64),
            np.array(schedule.events, np.int64).reshape(-1, 4),
            memory,
        )

    def _list(self, values: Any) -> int:
        """Append to the tables; the offset."""
        self.tables.extend(values)
        return len(self.tables) - len(values)

    def _stage(self, s: int, stage: Stage) -> None:
        row, need = self.stages[s], self.needs[s]
        row[ST.height], row[ST.width] = stage.shape
        row[ST.exit_height], row[ST.exit_width] = stage.shapes[-1]
        row[ST.torus], row[ST.values] = stage.torus, stage.saved + 1
        row[ST.clear_t] = s == 0 and not _starts_with_weights(stage)
        row[ST.cols] = len(need.cols)
        row[ST.row_list], row[ST.col_list] = (
            self._list(need.rows),
            self._list(need.cols),
        )
        widths = [stage.shape[1] - (0 if stage.torus else abs(d)) for d in need.cols]
        starts = np.concatenate([[0], np.cumsum(widths)])
        row[ST.col_starts] = self._list(starts.tolist())
        row[ST.plane_row] = starts[-1]
        plain = self._plain(stage)
        row[ST.plain_start] = len(self.ops)
        self._append(plain)
        row[ST.plain_end] = row[ST.fused_start] = len(self.ops)
        self._append(_fuse(plain))
        row[ST.fused_end] = len(self.ops)

    def _append(self, rows: list[tuple[dict[str, int], list[float]]]) -> None:
        for columns, parameters in rows:
            entry = [0] * len(OP)
            for name, value in columns.items():
                entry[getattr(OP, name)] = int(value)
            self.ops.append(entry)
            self.parameters.append(parameters)

    def _plain(self, stage: Stage) -> list[tuple[dict[str, int], list[float]]]:
        rows = []
        flags = [self.has_t] * (stage.saved + 1)
        for op, inside, outside in zip(
            stage.ops, stage.shapes[:-1], stage.shapes[1:], strict=True
        ):
            columns, parameters = _operation(op)
            columns |= {"height": inside[0], "width": inside[1]}
            columns |= {"out_height": outside[0], "out_width": outside[1]}
            columns |= {"has_t": flags[-1]}
            columns["map"] = self.map
            columns["pixel"] = self.pixel
            self.map += map_parts(op) * inside[0] * inside[1]
            self.pixel += bool(map_parts(op)) * inside[0] * inside[1]
            columns["save"] = len(rows)
            rows.append((columns, parameters))
            track(op, flags)
        self.saved = max(self.saved, len(rows))
        self.has_t = any(flags)
        return rows

    def _pool(self, s: int) -> list[list[int]]:
        """Groups and weights of the pool after stage s; the rows that rows feed."""
        before, after = self.program.stages[s], self.program.stages[s + 1]
        have, want = self.needs[s], self.needs[s + 1]
        rows = pool_groups(before, after, 0, have.rows, want.rows)
        cols = pool_groups(before, after, 1, have.cols, want.cols)
        self.stages[s, ST.row_groups] = self._lists(rows)
        starts = self.stages[s + 1, ST.col_starts]
        self.stages[s, ST.col_groups] = self._lists(
            [self._runs(g, starts) for g in cols]
        )
        pool = before.pool
        for axis, column, scale in (
            (0, ST.row_weights, pool.scale),
            (1, ST.col_weights, 1.0),
        ):
            self.stages[s + 1, column] = len(self.weights)
            counts = inside_counts(pool, axis, before.shapes[-1][axis])
            self.weights += [scale / (n if pool.edges else 1) for n in counts]
        return [[k for k, *_ in groups] for groups in rows]

    def _lists(self, lists: list[list[tuple[int, ...]]]) -> int:
        """Offset of n + 1 offsets of tuples."""
        starts = [self._list([v for g in groups for v in g]) for groups in lists]
        return self._list([*starts, len(self.tables)])

    def _runs(
        self, groups: list[tuple[int, int, int, int]], starts: int
    ) -> list[tuple[int, ...]]:
        """Groups of neighbouring pooled pixels as one entry, ``RUN`` numbers each.

        (start and width of the pooled plane, first pooled pixel, first pixel, pixels
        in a group, groups, step between groups)
        """
        runs: list[list[int]] = []
        for k, pooled, first, count in groups:
            begin, end = self.tables[starts + k : starts + k + 2]
            if runs and runs[-1][:2] == [begin, end - begin] and runs[-1][4] == count:
                last = runs[-1]
                step = last[6] if last[5] > 1 else first - last[3]
                here = (last[2] + last[5], last[3] + last[5] * step)
                if (pooled, first) == here:
                    last[5:] = last[5] + 1, step
                    continue
            runs.append([begin, end - begin, pooled, first, count, 1, 0])
        return [tuple(run) for run in runs]

    def _memory(self, schedule: Schedule) -> np.ndarray:
        memory = np.zeros(len(MEM), np.int64)
        stages = self.program.stages
        high = max(stage.shape[0] for stage in stages)
        wide = max(stage.shape[1] for stage in stages)
        plane = high * wide * LANES
        memory[MEM.copies] = wide * LANES
        memory[MEM.scratch] = 3 * wide * LANES
        memory[MEM.buffers] = memory[MEM.scratch] + plane
        memory[MEM.buffer_size] = plane + wide * LANES
        buffers = memory[MEM.registers] = 1 + max(
            depth for stage in stages for depth in stage.depths
        )
        end = memory[MEM.buffers] + 2 * buffers * memory[MEM.buffer_size]
        memory[MEM.saves] = end
        if self.saves:
            end += 2 * self.saved * memory[MEM.buffer_size]
        for s in range(1, len(stages)):
            row = self.stages[s]
            size = 2 * row[ST.values] * row[ST.height] * row[ST.plane_row] * LANES
            row[ST.slots], row[ST.gradient_slots] = end, end + schedule.slots[s] * size
            end = row[ST.gradient_slots] + schedule.gradient_slots[s] * size
        memory[MEM.total], memory[MEM.pixels] = end, self.pixel
        memory[MEM.map_pixels] = self.map
        return memory


def _operation(op: Op) -> tuple[dict[str, int], list[float]]:
    """The kind and the columns of an operation that do not depend on its place."""
    parameters = [0.0] * PARAMETERS
    if isinstance(op, Box):
        before, after = op.before, op.after
        if op.padding == "VALID":
            after = (before[0] + after[0], before[1] + after[1])
            before = (0, 0)
        columns = {"kind": KIND.box, "wrap": op.padding == "CIRCULAR"}
        columns |= {"before0": before[0], "before1": before[1]}
        return columns | {"after0": after[0], "after1": after[1]}, parameters
    if isinstance(op, Affine):
        parameters[:4] = op.w, op.b, op.u, op.v
        return {"kind": KIND.affine}, parameters
    if isinstance(op, Normalize):
        return {"kind": KIND.normalize}, parameters
    if isinstance(op, Activate):
        dual = dual_of(op.activation)
        parameters[4 : 4 + len(dual.parameters)] = dual.parameters
        return {"kind": KIND.dual, "family": dual.family}, parameters
    kinds = {Push: KIND.push, Swap: KIND.swap, Add: KIND.add}
    return {"kind": kinds[type(op)]}, parameters


def map_parts(op: Op) -> int:
    """Number of maps per image that an operation needs."""
    if isinstance(op, Activate):
        return dual_of(op.activation).parts
    return int(isinstance(op, Normalize))


def _starts_with_weights(stage: Stage) -> bool:
    """Whether t is written before it is read, so that it need not start as zero."""
    for op in stage.ops:
        if isinstance(op, Affine | Push):
            return isinstance(op, Affine)
    return False


def _fuse(
    rows: list[tuple[dict[str, int], list[float]]],
) -> list[tuple[dict[str, int], list[float]]]:
    """Join every 3 x 3 box, the map after it and the activation after that."""
    fused, i = [], 0
    while i < len(rows):
        kinds = [columns["kind"] for columns, _ in rows[i : i + 3]]
        first = rows[i][0]
        if kinds == [KIND.box, KIND.affine, KIND.dual] and _is_hot(first):
            columns = rows[i + 2][0] | {"kind": KIND.fused, "wrap": first["wrap"]}
            columns["has_t"] = first["has_t"]
            parameters = rows[i + 1][1][:4] + rows[i + 2][1][4:]
            fused.append((columns, parameters))
            i += 3
        else:
            fused.append(rows[i])
            i += 1
    return fused


def _is_hot(box: dict[str, int]) -> bool:
    taps = [box[name] for name in ("before0", "before1", "after0", "after1")]
    same_shape = (box["height"], box["width"]) == (box["out_height"], box["out_width"])
    return taps == [1, 1, 1, 1] and same_shape
