"""The kernels of one stage: what their source code depends on, and the code.

A plane goes through a stage row by row. A warp has a row of pixels in its lanes and
takes it through the operations; a convolution hands on the row before, as soon as it
has seen the next, so that every operation lags some rows behind the one before it. A
plane is never written down: of a convolution of three rows, two are kept in registers,
neighbours within a row come from other lanes, and warps never wait for one another.

A stage is known when its kernels are compiled: its operations become straight-line code
in a loop over rows, the values on its stack become variables. What depends on the pairs
and on the planes that are wanted (displacements, the planes that a plane is pooled
into) comes in tables.

Kernels of a stage, one program instance for a group of pairs and a block of rows of
displacements:

* ``forward``: planes through the stage; the last stage adds them up, others pool them.
* ``backward``: the same, keeping what derivatives need, then the gradient back, into
  images or the planes at entry.
* ``record``: the variances of one image, that is d = 0 of the pair (x, x).
"""

from dataclasses import dataclass

from ..encode_activation import dual_of
from ..program import (
    Activate,
    Normalize,
    Op,
    Pair,
    Pool,
    Stage,
    track,
)
from .encoding import parameters
from .stage_lanes import Lanes, lanes_of

_PLANES = (
    "source1 source2 maps1 maps2 map_size first second pairs rows cols n_rows "
    "n_cols order blocks n_blocks row_feeds col_feeds next_rows next_cols"
)
ARGUMENTS = {
    "forward": f"{_PLANES} target",
    "backward": f"{_PLANES} scratch seed bar1 bar2 map_bar1 map_bar2",
    "record": "source1 maps1 map_size pairs",
}


@dataclass(frozen=True)
class StageKernel:
    """What the source code of the kernels of one stage depends on.

    Args:
        stage: the operations.
        before: the pool that made its images, None at the input.
        before_exit: pixels that were pooled.
        want_t: whether the NTK is wanted.
        flags: per value at entry, the current one last, whether t can be non-zero.
        channels: of the input images, for the first stage.
        maps: place of its variances among those of an image.
        double: float64 instead of float32.
        feeds: per axis, the pooled planes that one plane adds to at most.
    """

    stage: Stage
    before: Pool | None
    before_exit: Pair | None
    want_t: bool
    flags: tuple[bool, ...]
    channels: int
    maps: int
    double: bool
    feeds: Pair = (0, 0)

    @property
    def lanes(self) -> Lanes:
        return lanes_of(self.stage.shape)

    @property
    def parts(self) -> int:
        """Planes per value: k, or k and t."""
        return 2 if self.want_t else 1

    @property
    def type(self) -> str:
        return "tl.float64" if self.double else "tl.float32"

    @property
    def exit_flags(self) -> tuple[bool, ...]:
        """``flags`` after the operations."""
        flags = list(self.flags)
        for op in self.stage.ops:
            track(op, flags)
        return tuple(flags)

    @property
    def kept(self) -> int:
        """Numbers that a program instance of ``backward`` keeps in memory: what every
        operation that depends on variances was given."""
        entries = self.stage.shape[0] * self.lanes.lines * self.lanes.width
        return sum(map(is_mapped, self.stage.ops)) * self.parts * entries

    @property
    def parameters(self) -> tuple[tuple[float, ...], ...]:
        """The parameters of the duals, one after the other."""
        ops = (op for op in self.stage.ops if isinstance(op, Activate))
        return tuple(parameters(dual_of(op.activation)) for op in ops)


def is_mapped(op: Op) -> bool:
    """Whether an operation depends on the variances of its input."""
    return isinstance(op, Activate | Normalize)


def map_pixels(stage: Stage) -> int:
    """Numbers in the variances of one image that a stage needs."""
    return sum(map(is_mapped, stage.ops)) * stage.shape[0] * stage.shape[1]


def regions(stage: Stage) -> list[tuple[Pair, Pair]]:
    """Per axis the pixels (first, end) of the image at entry that are left, before
    every operation and after the last; unpadded convolutions leave off some."""
    region = ((0, stage.shape[0]), (0, stage.shape[1]))
    found = [region]
    for op, inside, outside in zip(
        stage.ops, stage.shapes[:-1], stage.shapes[1:], strict=True
    ):
        if inside != outside:
            (top, bottom), (left, right) = region
            region = (
                (top + op.before[0], bottom - op.after[0]),
                (left + op.before[1], right - op.after[1]),
            )
        found.append(region)
    return found
