"""Gradients of tiles of pairs, and of the maps of images."""

import numpy as np

from .cpu_back_ops import back_addresses
from .cpu_backward import back_ops, backward_tile
from .cpu_forward import run_ops
from .cpu_lanes import LANES
from .cpu_maps import scatter_add
from .cpu_ops import addresses
from .cpu_tile import Recorder, Workspace, check_memory
from .encoding import MEM, OP, encode
from .program import Activate, Normalize, Program, Stage


class Gradients:
    """Gradients of a block of images, added up by one thread in float64.

    Args:
        n, pixels, map_pixels: images, numbers in one, and pixels of its maps.
    """

    def __init__(self, n: int, pixels: int, map_pixels: int) -> None:
        self.images = np.zeros((n, pixels))
        self.variances = np.zeros((n, map_pixels))

    def add(self, other: "Gradients") -> None:
        self.images += other.images
        self.variances += other.variances


class Backward:
    """The vector-Jacobian product of a program, compiled; shared by all threads."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.program, self.dtype, self.want_t = program, np.dtype(dtype), want_t
        self.encoding = encode(program, backward=True)
        check_memory(self.encoding, program, self.dtype)
        self.arrays = self.encoding.arrays(self.dtype)
        self.calls = addresses(self.encoding, self.dtype, want_t)
        self.saving = addresses(self.encoding, self.dtype, want_t, save=True)
        self.backs = back_addresses(self.encoding, self.dtype)
        self.scale = program.scale

    def workspace(self) -> Workspace:
        """Memory for one thread."""
        return Workspace(self.encoding, self.program, self.dtype)

    def run(
        self,
        work: Workspace,
        sides: tuple,
        seed: np.ndarray,
        step: int,
        count: int,
        into: tuple[Gradients, Gradients],
    ) -> None:
        """Add the gradients of the first ``count`` lanes of a tile.

        Args:
            sides: see ``Forward.run``.
            seed: gradient of k and t, ``[2, LANES]``, of every pixel at the exit if
                ``step`` is 0; else of k, ``[pixels, LANES]``.
            into: the gradients of both sides.
        """
        work.load(sides)
        size = 2 * work.maps * LANES
        work.M[size:] = 0
        GX = np.zeros_like(work.X)
        args = (self.arrays, self.calls, self.saving, self.backs, self.want_t)
        memory = (work.W, work.M, work.X, GX, seed, step, work.registers)
        backward_tile(*args, *memory)
        pixels = int(self.encoding.memory[MEM.pixels])
        for side, gradients in enumerate(into):
            which = sides[side][2]
            start = side * work.pixels * LANES
            scatter_add(GX, start, which, count, gradients.images)
            start = size + side * pixels * LANES
            scatter_add(work.M, start, which, count, gradients.variances[:, :pixels])


class RecorderBackward:
    """From gradients of the variances to gradients of the images, last stage first."""

    def __init__(self, program: Program, recorder: Recorder) -> None:
        self.program, self.recorder = program, recorder
        self.backs, self.before = [], []
        for s, stage in enumerate(program.stages):
            encoding = recorder.stages[s][0]
            self.backs.append(back_addresses(encoding, recorder.dtype))
            entry = Stage(stage.shape, (), None, stage.saved)
            stages = (*program.stages[:s], entry)
            cut = Program(program.channels, stages, "flatten", ())
            self.before.append(Backward(cut, recorder.dtype, False))

    def run(
        self,
        images: np.ndarray,
        maps: np.ndarray,
        which: np.ndarray,
        count: int,
        gradients: Gradients,
    ) -> None:
        """Move the gradients of the variances of some images into their pixels."""
        for s in range(len(self.before) - 1, -1, -1):
            seed = self._inside(s, images, maps, which, gradients.variances)
            before = self.before[s]
            sides = ((images, maps, which),) * 2
            into = (gradients, gradients)
            before.run(before.workspace(), sides, seed, LANES, count, into)

    def _inside(
        self,
        s: int,
        images: np.ndarray,
        maps: np.ndarray,
        which: np.ndarray,
        gradients: np.ndarray,
    ) -> np.ndarray:
        """Gradient of the plane d = 0 at the entry of stage s, of every value."""
        stage, walk = (
            self.program.stages[s],
            self.recorder.enter(s, images, which, maps),
        )
        walk.run(run_ops, walk.calls, walk.start, walk.end, True)
        W, M, registers = walk.work.W, walk.work.M, walk.work.registers
        size = walk.arrays[-1][MEM.buffer_size]
        for value in range(walk.depth + 1):
            k = walk.arrays[-1][MEM.buffers] + 2 * value * size
            registers[:, value] = value, k
            W[k : k + size] = 0
        both = M[2 * walk.work.maps * LANES :].reshape(2, -1, LANES)
        both[:] = 0
        for o in range(walk.end - 1, walk.start - 1, -1):
            op = stage.ops[o - walk.start]
            walk.run(back_ops, self.backs[s], o, o + 1)
            if isinstance(op, Activate | Normalize):
                h, w = walk.ops[o, [OP.height, OP.width]]
                at = slice(walk.ops[o, OP.pixel], walk.ops[o, OP.pixel] + h * w)
                total = both[:, at].sum(0) + gradients[which, at].T
                total = total.reshape(h, w, LANES)
                if isinstance(op, Normalize):
                    axes = tuple(a for a, mean in enumerate(op.spatial) if mean)
                    if axes:
                        total = total.mean(axis=axes, keepdims=True)
                walk.plane(h, w)[:] += total.astype(W.dtype)
        high, wide = stage.shape
        planes = [walk.plane(high, wide, v) for v in range(stage.saved + 1)]
        return np.stack(planes).ravel()
