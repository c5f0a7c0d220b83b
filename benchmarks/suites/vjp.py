"""The vector-Jacobian product of a kernel, through torch's autograd."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import tangency as tg

from ..registry import Run
from ..timing import Sample, loops_for, measure
from .kernels import GET, Block, Problem

# The error of a central difference is its square times the third derivative.
STEP = 1e-4


class VjpRun(Run):
    """Gradients of <c, K> + <c', Theta> with respect to x1 and x2 on an n x m block.

    Args:
        problem: network and inputs.
        block: rows of x1 and of x2 in one call.
        forward: time the forward call instead, which is not part of the backward.
        engine: engine of the kernel.
    """

    def __init__(
        self,
        problem: Problem,
        block: Block,
        forward: bool = False,
        engine: str = "planes",
    ) -> None:
        # Imported here: only these cases need torch, which takes seconds to import.
        import torch

        self.torch = torch
        self.kernel = tg.ExactKernel(problem.net, engine=engine)
        self.problem, self.block, self.forward = problem, block, forward
        self.inputs = tuple(map(torch.from_numpy, problem.inputs(block)))
        self.amount = block[0] * block[1]
        self.facts = {"block": list(block), "timed": "forward" if forward else "vjp"}
        self._loops = 0
        self._call: Any = None

    def value(self) -> np.ndarray:
        """The directional derivatives of ``directional_reference``."""
        n, m = self.problem.gate
        cotangents = np.zeros((2, *self.block), np.float32)
        cotangents[:, :n, :m] = gate_cotangents(self.problem.gate)
        grads = [g.numpy() for g in self._pull_back(self.block, cotangents)()]
        return np.array(
            [
                sum(np.sum(g[: len(v)] * v) for g, v in zip(grads, pair, strict=True))
                for pair in directions(self.problem)
            ]
        )

    def once(self) -> Any:
        if self._call is None:
            self._call = self._timed(self.block)
        return self._call()

    def warm(self) -> None:
        self._timed((1, 1))()
        # The forward of the whole block belongs to the set-up, not to the pull-back.
        self._call = self._timed(self.block)

    def sample(self) -> Sample:
        self._loops = self._loops or loops_for(self.once)
        return measure(self.once, self._loops)

    def _timed(self, block: Block) -> Any:
        if self.forward:
            x1, x2 = (x[:k] for x, k in zip(self.inputs, block, strict=True))
            return lambda: self.kernel(x1, x2, GET)
        return self._pull_back(block, np.ones((2, *block), np.float32))

    def _pull_back(self, block: Block, cotangents: np.ndarray) -> Any:
        """A call that computes the gradients; the forward is done here, once."""
        xs = [
            x[:k].clone().requires_grad_()
            for x, k in zip(self.inputs, block, strict=True)
        ]
        kernels = tuple(self.kernel(*xs, GET))
        seeds = tuple(self.torch.from_numpy(c) for c in cotangents)
        return lambda: self.torch.autograd.grad(kernels, xs, seeds, retain_graph=True)


def gate_cotangents(gate: Block) -> np.ndarray:
    """``[2, n, m]``, one for NNGP and one for NTK."""
    return np.random.default_rng(3).uniform(0.5, 1.5, (2, *gate)).astype(np.float32)


def directions(problem: Problem) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Directions (v1, v2) in float64: both inputs' own lengths, and a random one.

    Along a length the derivative is about the kernel itself, so that the maximum norm
    of the derivatives is a sound scale for the random one's error.
    """
    x1, x2 = (x.astype(np.float64) for x in problem.inputs(problem.gate))
    yield x1, np.zeros_like(x2)
    yield np.zeros_like(x1), x2
    rng = np.random.default_rng(4)
    yield rng.standard_normal(x1.shape), rng.standard_normal(x2.shape)


def directional_reference(problem: Problem) -> np.ndarray:
    """``[3]`` derivatives along ``directions``: central differences in float64."""
    kernel = tg.ExactKernel(problem.net, engine="exact")
    cotangents = gate_cotangents(problem.gate).astype(np.float64)
    x1, x2 = (x.astype(np.float64) for x in problem.inputs(problem.gate))

    def loss(step: float, v1: np.ndarray, v2: np.ndarray) -> float:
        return float(np.sum(cotangents * kernel(x1 + step * v1, x2 + step * v2, GET)))

    return np.array(
        [(loss(STEP, *v) - loss(-STEP, *v)) / (2 * STEP) for v in directions(problem)]
    )
