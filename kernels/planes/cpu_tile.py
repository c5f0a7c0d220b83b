"""A compiled program and the memory of one thread: what runs one tile of pairs."""

from typing import Any

import numpy as np

from .cpu_forward import forward_tile, load_plane, run_ops
from .cpu_lanes import LANES
from .cpu_maps import gather
from .cpu_ops import addresses
from .encode_activation import dual_of
from .encoding import MEM, OP, ST, Encoding, encode, truncated
from .program import Activate, Normalize, Op, Program

# Bytes that the planes of a tile of pairs may take in every thread.
LARGEST = 1 << 30


class Forward:
    """A program compiled for a dtype; shared by all threads."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.program, self.dtype, self.want_t = program, np.dtype(dtype), want_t
        self.encoding = encode(program)
        check_memory(self.encoding, program, self.dtype)
        self.arrays = self.encoding.arrays(self.dtype)
        self.calls = addresses(self.encoding, self.dtype, want_t)
        self.scale = program.scale

    def workspace(self) -> "Workspace":
        """Memory for one thread."""
        return Workspace(self.encoding, self.program, self.dtype)

    def run(self, work: "Workspace", sides: tuple) -> np.ndarray:
        """k and t after the readout, ``[2, LANES]`` in float64.

        Args:
            sides: (images, maps, which) of x1 and of x2; ``[B, size]`` arrays and the
                row of every lane.
        """
        work.load(sides)
        sums = np.zeros((2, LANES))
        args = (self.arrays, self.calls, self.want_t)
        forward_tile(*args, work.W, work.M, work.X, work.registers, sums)
        return sums * self.scale


def check_memory(encoding: Encoding, program: Program, dtype: np.dtype) -> None:
    """Refuse a program whose planes do not fit the memory of one thread.

    Raises:
        ValueError: with the size they would take.
    """
    memory = encoding.memory
    maps = 2 * int(encoding.map_pixels + memory[MEM.pixels]) * LANES
    size = (int(memory[MEM.total]) + maps) * dtype.itemsize
    if size > LARGEST:
        h, w = program.shape
        raise ValueError(
            f"the planes of {h} x {w} pixels take {size / 2**20:.0f} MB in every "
            f"thread, expected {LARGEST >> 20} MB at most; use smaller images, pool "
            "earlier, end in Flatten, or use engine='exact'"
        )


class Workspace:
    """Memory of one thread: planes, and maps and images in lanes."""

    def __init__(self, encoding: Encoding, program: Program, dtype: np.dtype) -> None:
        memory = encoding.memory
        h, w = program.shape
        self.maps, self.pixels = encoding.map_pixels, program.channels * h * w
        self.W = np.empty(memory[MEM.total] + LANES, dtype)
        size = 2 * (self.maps + memory[MEM.pixels]) * LANES
        self.M = np.empty(size, dtype)
        self.X = np.empty(2 * self.pixels * LANES, dtype)
        self.registers = np.zeros((2, memory[MEM.registers] + 1), np.int64)

    def load(self, sides: tuple) -> None:
        """Copy the images and the maps of both sides into lanes."""
        for side, (images, maps, which) in enumerate(sides):
            gather(images, which, self.X, side * self.pixels * LANES)
            gather(maps[:, : self.maps], which, self.M, side * self.maps * LANES)


class Walk:
    """The plane d = 0 of pairs (x, x) in one stage, run operation by operation."""

    def __init__(self, stage: tuple, work: Workspace, s: int) -> None:
        encoding, self.arrays, self.calls = stage
        self.work, self.s = work, s
        stages, self.ops, par, weights, tables, events, memory = self.arrays
        # The last event would run this stage.
        before = (stages, self.ops, par, weights, tables, events[:-1], memory)
        args = (before, self.calls, False, work.W, work.M, work.X, work.registers)
        forward_tile(*args, np.zeros((2, LANES)))
        args = (self.arrays, work.W, work.X, s, 0, 0, False)
        self.pitch = load_plane(*args, *work.registers)
        self.depth = int(stages[s, ST.values]) - 1
        self.start, self.end = (int(n) for n in stages[s, ST.plain_start :][:2])
        self.torus = stages[s, ST.torus]

    def run(self, run_ops: Any, calls: np.ndarray, *span: Any) -> None:
        """Run operations first, ..., last - 1; ``span`` may end with ``save``."""
        first, last, *save = span
        work = self.work
        args = (first, last, self.depth, 0, 0, self.torus, self.pitch, False, *save)
        memory = (work.W, work.M)
        self.depth = run_ops(self.arrays, calls, *memory, *args, work.registers)

    def plane(self, height: int, width: int, value: int = -1) -> np.ndarray:
        """A view of k of a value, by default the current one: ``[h, w, LANES]``."""
        order, where = self.work.registers
        k = where[order[self.depth if value < 0 else value]]
        rows = self.work.W[k : k + height * self.pitch].reshape(height, self.pitch)
        return rows[:, : width * LANES].reshape(height, width, LANES)


class Recorder:
    """Computes the maps of images: stage by stage, from the pairs (x, x), d = 0."""

    def __init__(self, program: Program, dtype: np.dtype) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self.stages = []
        for s in range(len(program.stages)):
            encoding = encode(truncated(program, s), saves=True)
            calls = addresses(encoding, self.dtype, False)
            self.stages.append((encoding, encoding.arrays(self.dtype), calls))

    @property
    def size(self) -> int:
        """Numbers in the maps of one image."""
        return self.stages[-1][0].map_pixels

    @property
    def pixels(self) -> int:
        """Pixels of the operations with maps."""
        return int(self.stages[-1][0].memory[MEM.pixels])

    def enter(
        self, s: int, images: np.ndarray, which: np.ndarray, maps: np.ndarray
    ) -> Walk:
        """The plane d = 0 at the entry of a stage."""
        work = Workspace(self.stages[s][0], self.program, self.dtype)
        work.load(((images, maps, which),) * 2)
        return Walk(self.stages[s], work, s)

    def record(self, images: np.ndarray, which: np.ndarray, maps: np.ndarray) -> None:
        """Fill rows ``which`` of ``maps``."""
        for s, stage in enumerate(self.program.stages):
            walk = self.enter(s, images, which, maps)
            for o, op in enumerate(stage.ops, walk.start):
                if isinstance(op, Activate | Normalize):
                    size = walk.ops[o, [OP.height, OP.width]]
                    new = maps_of(op, walk.plane(*size)).reshape(-1, LANES)
                    at, M = walk.ops[o, OP.map], walk.work.M
                    for shift in (at, at + walk.work.maps):
                        M[shift * LANES : (shift + len(new)) * LANES] = new.ravel()
                    maps[which, at : at + len(new)] = new.T
                walk.run(run_ops, walk.calls, o, o + 1, False)


def maps_of(op: Op, variances: np.ndarray) -> np.ndarray:
    """The maps of an operation, ``[h, w, ...] -> [parts, h, w, ...]``."""
    variances = np.maximum(variances, 0)
    if isinstance(op, Activate):
        return dual_of(op.activation).maps(variances)
    axes = tuple(axis for axis, mean in enumerate(op.spatial) if mean)
    mean = variances.mean(axis=axes, keepdims=True) if axes else variances
    mean = mean + variances.dtype.type(op.eps)
    positive = mean > 0
    factor = np.where(positive, np.where(positive, mean, 1) ** -0.5, 0)
    return np.broadcast_to(factor, variances.shape).astype(variances.dtype)[None]
