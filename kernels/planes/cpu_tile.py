"""A compiled program and the memory of one thread: what runs one tile of pairs."""

import numpy as np

from .cpu_forward import forward_tile, load_plane, run_ops
from .cpu_lanes import LANES
from .cpu_maps import gather
from .cpu_ops import addresses
from .encode_activation import dual_of
from .encoding import MEM, OP, ST, Encoding, encode, truncated
from .program import Activate, Normalize, Op, Program

_NORMS = {"flatten": 1, "mean": 2, "sum": 0}


class Forward:
    """A program compiled for a dtype; shared by all threads."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.program, self.dtype, self.want_t = program, np.dtype(dtype), want_t
        self.encoding = encode(program)
        self.arrays = self.encoding.arrays(self.dtype)
        self.calls = addresses(self.encoding, self.dtype, want_t)
        h, w = program.stages[-1].shapes[-1]
        self.scale = 1.0 / (h * w) ** _NORMS[program.readout]

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


class Workspace:
    """Memory of one thread: planes, and maps and images in lanes."""

    def __init__(self, encoding: Encoding, program: Program, dtype: np.dtype) -> None:
        memory = encoding.memory
        h, w = program.shape
        self.maps, self.pixels = encoding.map_pixels, program.channels * h * w
        self.W = np.empty(memory[MEM.total] + LANES, dtype)
        self.M = np.empty(2 * self.maps * LANES + LANES, dtype)
        self.X = np.empty(2 * self.pixels * LANES, dtype)
        self.registers = np.zeros((2, memory[MEM.registers] + 1), np.int64)

    def load(self, sides: tuple) -> None:
        """Copy the images and the maps of both sides into lanes."""
        for side, (images, maps, which) in enumerate(sides):
            gather(images, which, self.X, side * self.pixels * LANES)
            gather(maps[:, : self.maps], which, self.M, side * self.maps * LANES)


class Recorder:
    """Computes the maps of images: stage by stage, from the pairs (x, x), d = 0."""

    def __init__(self, program: Program, dtype: np.dtype) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self.stages = []
        for s in range(len(program.stages)):
            # The maps of the last stage are made here, operation by operation.
            encoding = encode(truncated(program, s))
            calls = addresses(encoding, self.dtype, False)
            self.stages.append((encoding, encoding.arrays(self.dtype), calls))
        self.encoding = self.stages[-1][0]

    @property
    def size(self) -> int:
        """Numbers in the maps of one image."""
        return self.encoding.map_pixels

    def record(self, images: np.ndarray, which: np.ndarray, maps: np.ndarray) -> None:
        """Fill rows ``which`` of ``maps``."""
        for s in range(len(self.stages)):
            self._stage(s, images, which, maps)

    def _stage(
        self, s: int, images: np.ndarray, which: np.ndarray, maps: np.ndarray
    ) -> None:
        encoding, arrays, calls = self.stages[s]
        work = Workspace(encoding, self.program, self.dtype)
        work.load(((images, maps, which),) * 2)
        # The last event runs the stage that is recorded.
        stages, ops, par, weights, tables, events, memory = arrays
        before = (stages, ops, par, weights, tables, events[:-1], memory)
        sums = np.zeros((2, LANES))
        W, M, X, registers = work.W, work.M, work.X, work.registers
        forward_tile(before, calls, False, W, M, X, registers, sums)
        pitch = load_plane(arrays, W, X, s, 0, 0, events[-1, 3], False, *registers)
        depth = int(stages[s, ST.values]) - 1
        start = int(stages[s, ST.plain_start])
        torus = stages[s, ST.torus]
        for o, op in enumerate(self.program.stages[s].ops, start):
            if isinstance(op, Activate | Normalize):
                h, w = ops[o, OP.height], ops[o, OP.width]
                k = registers[1, registers[0, depth]]
                rows = W[k : k + h * pitch].reshape(h, pitch)
                variances = rows[:, : w * LANES].reshape(h, w, LANES)
                new = maps_of(op, variances).reshape(-1, LANES)
                at = ops[o, OP.map]
                for shift in (at, at + work.maps):
                    M[shift * LANES : (shift + len(new)) * LANES] = new.ravel()
                maps[which, at : at + len(new)] = new.T
            args = (o, o + 1, depth, 0, 0, torus, pitch, False, registers)
            depth = run_ops(arrays, calls, W, M, *args)


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
