"""Exact kernels of fully connected networks on a GPU: what launches the kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..program import Program
from .dense_backward import pull_kernel, rows_kernel, sweep_kernel
from .dense_forward import gram_kernel
from .dense_program import DenseProgram, dense_program
from .dense_tiles import (
    ROWS,
    SWEEP_COLUMNS,
    Tiles,
    forward_tiles,
    gram_constants,
    pull_tiles,
    sweep_tiles,
)
from .torch_planes import budget, on_device

Tensor = torch.Tensor


@dataclass(frozen=True)
class DenseKernel:
    """NNGP and NTK of a program of one pixel; what the bridge to autograd calls.

    Args:
        program: made by ``lower``, of one pixel.
        names: "nngp", "ntk", in the order of the results.
        precision: of products of float32, "ieee" or "tf32x3".
    """

    program: Program
    names: tuple[str, ...]
    precision: str = "ieee"

    def forward(self, x1: Tensor, x2: Tensor | None) -> tuple[Tensor, ...]:
        """The kernels ``[n, m]`` in the dtype of x1; x2 None for x1 itself."""
        y = _rows(x1) if x2 is None else _rows(x2)
        shape = (len(x1), len(y))
        out = {name: x1.new_empty(shape) for name in self.names}
        same = x2 is None
        _gram(_rows(x1), y, out, self._layers(x1.dtype), SAME=same, TRIANGLE=same)
        return tuple(out[name] for name in self.names)

    def vjp(
        self, x1: Tensor, x2: Tensor | None, cotangents: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients in x1 and x2 of sum(cotangent * kernel), over all kernels.

        Layers are computed again; memory beyond the result is kept within the budget.
        Where a derivative is infinite, at equal rows, it counts as 0.
        """
        rows1 = _rows(x1)
        if x2 is None:
            own = self._pull(rows1, rows1, list(cotangents), same=True)
            return own.reshape(x1.shape), None
        rows2 = _rows(x2)
        g1 = self._pull(rows1, rows2, list(cotangents), same=False)
        g2 = self._pull(rows2, rows1, [bar.mT for bar in cotangents], same=False)
        return g1.reshape(x1.shape), g2.reshape(x2.shape)

    @cached_property
    def constants(self) -> DenseProgram:
        return dense_program(self.program)

    def _layers(self, dtype: torch.dtype) -> dict[str, Any]:
        """What the forward and the reverse sweep are compiled with."""
        double = dtype == torch.float64
        return gram_constants(self.program, self.names, self.precision, double)

    def _pull(self, x1: Tensor, x2: Tensor, bars: list[Tensor], same: bool) -> Tensor:
        """The gradient in x1 alone."""
        out = torch.empty_like(x1)
        norms2 = _squares(x2)
        # defects, far, near, the cotangents (x1 with itself: twice), and sums.
        numbers = 3 + (2 if same else 1) * len(bars)
        of_pair = numbers * x1.element_size()
        of_pair += -(-8 * self.constants.slots // SWEEP_COLUMNS)
        step = max(16, budget(x1.device) // (of_pair * len(x2)) // 16 * 16)
        for start in range(0, len(x1), step):
            rows = slice(start, min(start + step, len(x1)))
            own = [bar[rows].to(x1.dtype).contiguous() for bar in bars]
            if same:
                # A pair stands for its mirror image as well.
                own = [
                    bar + whole[:, rows].mT
                    for bar, whole in zip(own, bars, strict=True)
                ]
            shift = start if same else -1
            self._pull_rows(x1[rows], x2, norms2, own, out[rows], shift)
        return out

    def _pull_rows(
        self, x1: Tensor, x2: Tensor, norms2: Tensor, bars: list[Tensor], out: Tensor,
        shift: int,
    ) -> None:  # fmt: skip
        dtype, n, m, d = x1.dtype, len(x1), len(x2), x1.shape[1]
        program, double = self.constants, dtype == torch.float64
        layers, norms1 = self._layers(dtype), _squares(x1)
        defects, far, near = (x1.new_empty((n, m)) for _ in range(3))
        inputs = {"OPS": (), "PAR": (), "ALIVE": (False,), "RESULT": 0, "WIDE": False}
        inputs |= {"WANT_K": True, "WANT_T": False, "SAME": shift >= 0}
        _gram(x1, x2, {"nngp": defects}, layers | inputs, shift, DEFECTS=True)
        sweep = sweep_tiles(len(program.ops) + 1, double or layers["WIDE"])
        high, wide = sweep.constants["BM"], sweep.constants["BN"]
        grid = (-(-n // high), -(-m // wide))
        flags = torch.zeros(grid, dtype=torch.int32, device=x1.device)
        sums = norms1.new_zeros((grid[1], program.slots, n))
        given = dict(zip(self.names, bars, strict=True))
        del layers["PRECISION"]
        _launch(
            # No second axis, on which a GPU has 65,535 programs at most.
            sweep_kernel, (grid[0] * grid[1],), sweep,
            defects, norms1, norms2, given.get("nngp", far), given.get("ntk", far),
            far, near, flags, sums, n, m, d, max(shift, 0), SLOTS=program.slots,
            SAME=shift >= 0, **layers,
        )  # fmt: skip
        factors = torch.empty_like(norms1)
        _launch(
            rows_kernel, (-(-n // ROWS.constants["B"]),), ROWS,
            norms1, sums.sum(0), factors, n, d, OPS=program.ops, PAR=program.numbers,
            RESULT=program.result, SLOTS=program.slots,
        )  # fmt: skip
        pull = pull_tiles(double)
        _launch(
            pull_kernel, (-(-n // pull.constants["BM"]), -(-d // pull.constants["BN"])),
            pull, far, near, flags, x1, x2, norms1, norms2, factors, out, n, m, d,
            grid[1], PRECISION="ieee" if double else self.precision,
            FLAG_ROWS=pull.constants["BM"] // high, FLAG_COLUMNS=wide,
        )  # fmt: skip


def _gram(
    x1: Tensor,
    x2: Tensor,
    out: dict[str, Tensor],
    layers: dict[str, Any],
    shift: int = 0,
    **constants: bool,
) -> None:
    """Fill ``out`` by ``gram_kernel``."""
    n, m, some = len(x1), len(x2), next(iter(out.values()))
    double = x1.dtype == torch.float64
    tiles = forward_tiles(double, layers["PRECISION"])
    constants = {"TRIANGLE": False, "DEFECTS": False} | layers | constants
    _launch(
        gram_kernel, (tiles.blocks(n, m),), tiles,
        x1, x2, out.get("nngp", some), out.get("ntk", some),
        x1.new_empty(n), x1.new_empty(m), n, m, x1.shape[1], max(shift, 0), **constants,
    )  # fmt: skip


def _launch(
    kernel: Callable, grid: tuple[int, ...], tiles: Tiles, *args, **constants
) -> None:
    """Run a kernel on the device of its first tensor, on that device's stream."""
    with on_device(args[0]):
        kernel[grid](*args, **constants, **tiles.constants, **tiles.options)


def _rows(x: Tensor) -> Tensor:
    """``[n, 1, 1, d] -> [n, d]``, contiguous."""
    return x.detach().reshape(len(x), -1).contiguous()


def _squares(x: Tensor) -> Tensor:
    """Squared norms of the rows, float64."""
    return torch.linalg.vector_norm(x, dim=1, dtype=torch.float64) ** 2
