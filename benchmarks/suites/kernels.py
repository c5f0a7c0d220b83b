"""Contenders for a block of an infinite-width kernel: our engines, and a peer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tangency as tg
from tangency.kernels.planes import cost, lower
from tangency.kernels.planes.cpu_workers import default_threads
from tangency.kernels.planes.program import Activate

from ..networks import images, vectors
from ..peers.client import Peer, shared
from ..peers.spec import spec
from ..registry import Run
from ..timing import Sample, measure, repetitions

GET = ("nngp", "ntk")
Block = tuple[int, int]


@dataclass(frozen=True)
class Problem:
    """A network and the inputs of its kernel.

    Args:
        net: the network.
        shape: shape of one input, ``(d,)`` or ``(H, W, channels)``.
        gate: number of rows of x1 and of x2 on which results are compared.
        symmetric: x2 is x1, and engines are called with x2=None.
    """

    net: Any
    shape: tuple[int, ...]
    gate: Block = (2, 2)
    symmetric: bool = False

    def inputs(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """x1 and x2, float32. Smaller blocks are the leading rows of larger ones."""
        make = images if len(self.shape) == 3 else vectors
        seeds = (1, 1) if self.symmetric else (1, 2)
        one, two = (
            make(n, self.shape[0], s) for n, s in zip(block, seeds, strict=True)
        )
        return one, two

    def reference(self) -> np.ndarray:
        """``[2, *gate]``: NNGP and NTK by the exact engine in float64."""
        x1, x2 = (x.astype(np.float64) for x in self.inputs(self.gate))
        return np.stack(tg.ExactKernel(self.net, engine="exact")(x1, x2, GET))

    def describe(self) -> dict[str, Any]:
        """What goes into the line."""
        return {
            "network": spec(self.net),
            "input": list(self.shape),
            "get": list(GET),
            "dtype": "float32",
            "symmetric": self.symmetric,
        }


class EngineRun(Run):
    """One of our engines on an n x m block.

    Args:
        problem: network and inputs.
        engine: "exact" or "planes".
        block: rows of x1 and of x2 in one call.
    """

    def __init__(self, problem: Problem, engine: str, block: Block) -> None:
        self.kernel = tg.ExactKernel(problem.net, engine=engine)
        self.problem = problem
        self.x1, self.x2 = problem.inputs(block)
        if problem.symmetric:
            self.x2 = None
        self.amount = block[0] * block[1]
        self.facts = {"block": list(block)}
        if engine == "planes":
            self.facts |= plan_facts(problem.net, self.x1.shape)
        self._loops = 1

    def once(self) -> Any:
        return self.kernel(self.x1, self.x2, GET)

    def warm(self) -> None:
        self.kernel(self.x1[:1], None if self.x2 is None else self.x2[:1], GET)

    def value(self) -> np.ndarray:
        self.warm()
        start = time.perf_counter()
        kernels = self.once()
        self._loops = repetitions(time.perf_counter() - start)
        n, m = self.problem.gate
        return np.stack([k[:n, :m] for k in kernels])

    def sample(self) -> Sample:
        return measure(self.once, self._loops)


def plan_facts(net: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """Threads, and the work per pair: entries that pass through an activation."""
    program = lower(net, shape)
    head = sum(isinstance(op, Activate) for op in program.head)
    return {"entry_layers": cost(program) + head, "threads": default_threads()}


class PeerRun(Run):
    """neural-tangents on the block that suits it best, of those it is offered.

    Its time per pair depends on the block: small ones waste dispatch and the
    covariances of each input with itself, large ones leave the caches.

    Args:
        problem: network and inputs.
        blocks: rows of x1 and of x2, to choose from.
        jit: compile the whole kernel function; else it runs operation by operation.
    """

    def __init__(
        self, problem: Problem, blocks: Sequence[Block], jit: bool = True
    ) -> None:
        self.problem, self.jit = problem, jit
        self.peer = shared()
        pose(self.peer, problem, tuple(map(max, zip(*blocks, strict=True))), jit)
        self.block, seconds = self._fastest(blocks)
        self.amount = self.block[0] * self.block[1]
        self._loops = repetitions(seconds[self.block])
        self.facts = {
            "peer": self.peer.request("hello"),
            "block": list(self.block),
            "jit": jit,
            "unit_s_by_block": {
                f"{n}x{m}": t / (n * m) for (n, m), t in seconds.items()
            },
        }

    def value(self) -> np.ndarray:
        n, m = self.problem.gate
        return peer_value(self.peer, self.block)[:, :n, :m]

    def sample(self) -> Sample:
        return self._time(self.block, self._loops)

    def peak_bytes(self) -> int:
        return int(self._fresh("kernel_memory")["bytes"])

    def first_call(self) -> float:
        return float(self._fresh("kernel_first_call")["seconds"])

    def close(self) -> None:
        self.peer.request("kernel_forget")

    def _fastest(self, blocks: Sequence[Block]) -> tuple[Block, dict[Block, float]]:
        """The block with the least seconds per pair; a single one is not warmed up."""
        seconds = {}
        for block in blocks:
            seconds[block] = self._time(block).wall
            if len(blocks) > 1:
                seconds[block] = self._time(block).wall
        return min(blocks, key=lambda b: seconds[b] / (b[0] * b[1])), seconds

    def _time(self, block: Block, loops: int = 1) -> Sample:
        n, m = block
        return Sample(**self.peer.request("kernel_time", n=n, m=m, loops=loops))

    def _fresh(self, op: str) -> dict[str, Any]:
        """What a worker that has done nothing else answers to ``op`` on our block."""
        with Peer() as peer:
            pose(peer, self.problem, self.block, self.jit)
            return peer.request(op, n=self.block[0], m=self.block[1])


def pose(peer: Peer, problem: Problem, block: Block, jit: bool = True) -> None:
    """Give a worker the network and the inputs of a block."""
    x1, x2 = map(peer.save, problem.inputs(block))
    network = spec(problem.net)
    peer.request("kernel_problem", spec=network, x1=x1, x2=x2, get=GET, jit=jit)


def peer_reference(problem: Problem, jit: bool = True) -> np.ndarray:
    """``[2, *gate]`` by neural-tangents in float64: an independent reference."""
    peer = shared()
    pose(peer, problem, problem.gate, jit)
    return peer_value(peer, problem.gate, x64=True)


def peer_value(peer: Peer, block: Block, x64: bool = False) -> np.ndarray:
    """``[2, n, m]``: the leading block of the posed problem."""
    out = str(peer.path())
    peer.request("kernel_value", n=block[0], m=block[1], out=out, x64=x64)
    return peer.load(out)
