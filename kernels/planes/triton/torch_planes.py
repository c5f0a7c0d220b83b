"""Exact convolutional kernels on a GPU: what launches the kernels of the stages.

CUDA tensors run on their device and on its current stream. CPU tensors run where
Triton interprets kernels (``TRITON_INTERPRET=1``), which is for tests.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Any

import torch

from ..program import Pair, Program
from .stage_lanes import WARPS
from .stage_module import kernels as compiled
from .stage_source import StageKernel, map_pixels
from .stage_tables import Axis, row_blocks, stage_axes

Tensor = torch.Tensor
# Programs that keep a GPU busy, per multiprocessor, before rows are split among more.
# An estimate; no GPU was there to measure it.
PROGRAMS = 8
# Pairs that are run at a time: enough to keep every multiprocessor busy. An estimate
# as well.
MOST_PAIRS = 1 << 14
# What kernels are compiled with. Left to itself the compiler may take fewer registers
# than it needs, and spill.
OPTIONS = {
    "num_warps": WARPS,
    "num_stages": 1,
    "maxnreg": 255,
    "enable_fp_fusion": True,
}
# Memory that a call may allocate beyond its result, as a part of what is free.
FRACTION = 0.25
# The same where there is no GPU, in bytes.
HOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Planes:
    """The stages of a program that are run, and in which precision.

    Args:
        program: made by ``lower``; its head is not run.
        want_t: whether the NTK is wanted.
        double: float64 instead of float32.
        entering: run the stages before this one, and only what d = 0 at its entry needs
            of them; None for all stages and the sum over their planes.
    """

    program: Program
    want_t: bool
    double: bool
    entering: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.double else torch.float32

    @cached_property
    def specs(self) -> list[StageKernel]:
        """The kernels of every stage of the program."""
        specs: list[StageKernel] = []
        flags, maps, stages = (False,), 0, self.program.stages
        for s, stage in enumerate(stages):
            before = stages[s - 1] if s else None
            spec = StageKernel(
                stage,
                before and before.pool,
                before and before.shapes[-1],
                self.want_t,
                flags if self.want_t else (False,) * (stage.saved + 1),
                self.program.channels,
                maps,
                self.double,
                self._feeds(s),
            )
            specs.append(spec)
            flags, maps = spec.exit_flags, maps + map_pixels(stage)
        return specs

    def _feeds(self, s: int) -> Pair:
        """Per axis, the pooled planes that one plane of stage s adds to at most."""
        if s >= len(self.axes) or self.program.stages[s].pool is None:
            return 0, 0
        rows, cols = (
            int((axis.tiles[:, 3] - axis.tiles[:, 2]).max()) for axis in self.axes[s]
        )
        return rows, cols

    @cached_property
    def running(self) -> list[StageKernel]:
        """The kernels of the stages that are run."""
        return self.specs[: self.entering]

    @cached_property
    def axes(self) -> list[tuple[Axis, Axis]]:
        """Displacements of the stages that are run, and of the one entered."""
        if self.entering is None:
            return stage_axes(self.program)
        stages = self.program.stages
        entered = replace(stages[self.entering], ops=(), pool=None)
        cut = (*stages[: self.entering], entered)
        return stage_axes(Program(self.program.channels, cut, "flatten", ()))

    def state_numbers(self, s: int) -> int:
        """Numbers per pair in the planes at the entry of stage s."""
        if s == 0 or s >= len(self.axes):
            return 0
        stage, (rows, cols) = self.program.stages[s], self.axes[s]
        planes = (stage.saved + 1) * (2 if self.want_t else 1)
        return planes * len(rows) * len(cols) * stage.shape[0] * stage.shape[1]

    @property
    def entry_shape(self) -> tuple[int, ...]:
        """Values and pixels at the entry of the stage that is entered."""
        stage = self.program.stages[self.entering]
        return stage.saved + 1, *stage.shape


@lru_cache(maxsize=256)
def tables(
    planes: Planes, s: int, count: int, backward: bool, device: torch.device
) -> list[Tensor]:
    """Rows, columns, order, blocks and feeds of a stage, on the device."""
    rows, cols = planes.axes[s]
    pooled = planes.program.stages[s].pool is not None and not backward
    target = len(planes.axes[s + 1][0]) if pooled else None
    order, blocks = row_blocks(rows, target, count)
    arrays = (rows.tiles, cols.tiles, order, blocks, rows.feeds, cols.feeds)
    return [torch.from_numpy(array).to(device) for array in arrays]


@cache
def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    return torch.cuda.get_device_properties(device).multi_processor_count


def block_count(pairs: int, together: int, device: torch.device) -> int:
    """Blocks of rows that keep the device busy."""
    groups = -(-pairs // together)
    return max(1, -(-PROGRAMS * _processors(device) // groups))


def budget(device: torch.device) -> int:
    """Bytes that a call may allocate for planes."""
    if device.type != "cuda":
        return HOST_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(FRACTION * (free + cached))


Side = tuple[Tensor, Tensor]


def run(planes: Planes, one: Side, two: Side, first: Tensor, second: Tensor) -> Tensor:
    """Sums over planes ``[pairs, parts]`` in float64, or the planes at an entry.

    Args:
        planes: what is run.
        one, two: images ``[n, channels, H, W]`` and variances ``[n, numbers]``.
        first, second: int32, numbers of the images of every pair.

    Returns:
        With ``entering``, d = 0 of every value instead: ``[pairs, values, H, W]``.
    """
    sizes = [planes.state_numbers(s) for s in range(len(planes.axes) + 1)]
    needed = max(map(sum, pairwise(sizes)))
    outputs = [
        states(planes, one, two, *pairs)[-1]
        for pairs in chunks(planes, first, second, needed)
    ]
    if planes.entering is None:
        return torch.cat(outputs)
    return torch.cat(outputs).view(-1, *planes.entry_shape)


def chunks(
    planes: Planes, first: Tensor, second: Tensor, numbers: int, most: int = MOST_PAIRS
) -> list[tuple[Tensor, Tensor]]:
    """Pairs in parts, each of which allocates no more than the budget.

    Args:
        numbers: how many a pair takes.
        most: pairs in a part at most.

    Raises:
        torch.OutOfMemoryError: one pair alone would allocate more.
    """
    size = max(numbers, 1) * (8 if planes.double else 4)
    allowed = budget(first.device)
    if size > allowed:
        raise torch.OutOfMemoryError(
            f"the planes of one pair of images take {size >> 20} MiB, expected "
            f"{allowed >> 20} MiB at most ({FRACTION:.0%} of what is free on "
            f"{first.device}); free memory there, or use smaller images"
        )
    step = min(allowed // size, most)
    return list(zip(first.split(step), second.split(step), strict=True))


def states(
    planes: Planes,
    one: Side,
    two: Side,
    first: Tensor,
    second: Tensor,
    keep: bool = False,
) -> list[Tensor]:
    """What comes out at last; with ``keep`` what comes out of every stage."""
    outputs: list[Tensor] = []
    for s, spec in enumerate(planes.running):
        count = block_count(len(first), spec.lanes.pairs, first.device)
        found = tables(planes, s, count, False, first.device)
        n_blocks, last = len(found[3]), spec.stage.pool is None
        shape = (len(first), n_blocks, spec.parts)
        if last:
            target = first.new_empty(shape, dtype=torch.float64)
        else:
            shape = (len(first), planes.state_numbers(s + 1))
            target = first.new_zeros(shape, dtype=planes.dtype)
        sources = (outputs[-1],) * 2 if s else (one[0], two[0])
        given = (*sources, one[1], two[1], one[1].shape[1], first, second, len(first))
        launch(
            spec,
            "forward",
            len(first),
            n_blocks,
            target,
            *given,
            *table_arguments(planes, s, found),
            target,
        )
        if not keep:
            outputs.clear()
        outputs.append(target.sum(1) if last else target)
    return outputs


def table_arguments(planes: Planes, s: int, found: list[Tensor]) -> list[Any]:
    """The arguments of a kernel between the pairs and its results."""
    rows, cols, order, blocks, row_feeds, col_feeds = found
    sizes = [len(axis) for axis in planes.axes[s]]
    last = planes.program.stages[s].pool is None
    after = (0, 0) if last else [len(axis) for axis in planes.axes[s + 1]]
    ends = (order, blocks, len(blocks), row_feeds, col_feeds)
    return [rows, cols, *sizes, *ends, *after]


def launch(
    spec: StageKernel, kernel: str, pairs: int, blocks: int, like: Tensor, *rest: Any
) -> None:
    """Start a kernel on groups of pairs and blocks of rows, on the device of ``like``.

    Args:
        rest: the arguments of the kernel.
    """
    grid = (-(-pairs // spec.lanes.pairs), blocks)
    with on_device(like):
        compiled(spec)[kernel][grid](*rest, **OPTIONS)


def on_device(x: Tensor) -> AbstractContextManager:
    """Where kernels on x are launched: its GPU, which need not be the current one."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
