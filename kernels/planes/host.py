"""The compiled CPU engines as two functions of NumPy arrays."""

from dataclasses import dataclass

import numpy as np

from . import cpu, cpu_dense, cpu_dense_back, cpu_vjp
from .program import Program

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class HostKernel:
    """A program and the kernels wanted of it; what the bridges to frameworks call.

    Args:
        program: made by ``lower``.
        names: "nngp", "ntk", in the order of the results.
    """

    program: Program
    names: tuple[str, ...]

    def forward(self, x1: np.ndarray, x2: np.ndarray | None) -> Arrays:
        """The kernels ``[n, m]``; x2 None for x1 itself."""
        if self.program.one_pixel:
            rows1, rows2 = _rows(x1), None if x2 is None else _rows(x2)
            return cpu_dense.kernel(self.program, rows1, rows2, self.names)
        return cpu.kernel(self.program, x1, x2, self.names)

    def vjp(
        self,
        x1: np.ndarray,
        x2: np.ndarray | None,
        cotangents: Arrays,
        threads: int | None = None,
        second: bool = True,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients in x1 and x2 of sum(cotangent * kernel), over all kernels.

        Several threads add up their parts in the order in which they finish; with one,
        equal calls give equal bits. Without ``second`` the gradient in x2 is None.
        """
        bars = dict(zip(self.names, cotangents, strict=True))
        if not self.program.one_pixel:
            return cpu_vjp.vjp(
                self.program, x1, x2, threads=threads, second=second, **bars
            )
        rows1, rows2 = _rows(x1), None if x2 is None else _rows(x2)
        g1, g2 = cpu_dense_back.vjp(self.program, rows1, rows2, threads=threads, **bars)
        if g2 is None or not second:
            return g1.reshape(x1.shape), None
        return g1.reshape(x1.shape), g2.reshape(x2.shape)


def _rows(x: np.ndarray) -> np.ndarray:
    """``[n, 1, 1, d] -> [n, d]``."""
    return x.reshape(len(x), -1)
