"""The vector-Jacobian product of the plane engine, beside its forward call."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tangency as tg
from tangency.kernels.planes import lower
from tangency.kernels.planes.cpu import kernel
from tangency.kernels.planes.cpu_vjp import vjp

from ..registry import Run
from ..timing import Sample, measure, repetitions
from .kernels import GET, Block, Problem

# The error of a central difference is its square times the third derivative.
STEP = 1e-4


class VjpRun(Run):
    """Gradients of sum(c * K) + sum(c' * Theta) with respect to x1 and x2.

    Args:
        problem: network and inputs.
        block: rows of x1 and of x2 in one call.
        forward: time the forward call on the same block instead.
    """

    def __init__(self, problem: Problem, block: Block, forward: bool = False) -> None:
        self.problem, self.forward = problem, forward
        self.x1, self.x2 = problem.inputs(block)
        self.program = lower(problem.net, self.x1.shape)
        self.cotangents = np.ones((2, *block), np.float32)
        self.amount = block[0] * block[1]
        self.facts = {"block": list(block), "timed": "forward" if forward else "vjp"}
        self._loops = 1

    def once(self) -> Any:
        if self.forward:
            return kernel(self.program, self.x1, self.x2, GET)
        return vjp(self.program, self.x1, self.x2, *self.cotangents)

    def warm(self) -> None:
        one = self.cotangents[:, :1, :1]
        kernel(self.program, self.x1[:1], self.x2[:1], GET)
        vjp(self.program, self.x1[:1], self.x2[:1], *one)

    def value(self) -> np.ndarray:
        """The directional derivatives of ``directional_reference``."""
        self.warm()
        self._loops = repetitions(measure(self.once).wall)
        n, m = self.problem.gate
        cotangents = np.zeros_like(self.cotangents)
        cotangents[:, :n, :m] = gate_cotangents(self.problem.gate)
        gradients = vjp(self.program, self.x1, self.x2, *cotangents)
        return np.array(
            [
                sum(
                    np.sum(g[: len(v)] * v)
                    for g, v in zip(gradients, pair, strict=True)
                )
                for pair in directions(self.problem)
            ]
        )

    def sample(self) -> Sample:
        return measure(self.once, self._loops)


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


def directional_reference(
    problem: Problem, exact: Callable[..., Any] | None = None
) -> np.ndarray:
    """``[3]`` derivatives along ``directions``: central differences in float64.

    Args:
        problem: network and inputs.
        exact: kernel to differentiate; None for the exact engine.
    """
    call = exact or tg.ExactKernel(problem.net, engine="exact")
    cotangents = gate_cotangents(problem.gate).astype(np.float64)
    x1, x2 = (x.astype(np.float64) for x in problem.inputs(problem.gate))

    def loss(step: float, v1: np.ndarray, v2: np.ndarray) -> float:
        kernels = call(x1 + step * v1, x2 + step * v2, GET)
        return float(np.sum(cotangents * np.stack(kernels)))

    return np.array(
        [(loss(STEP, *v) - loss(-STEP, *v)) / (2 * STEP) for v in directions(problem)]
    )
