"""The empirical NTK of finite networks: ours in JAX and torch, and the alternatives.

The full kernel ``[n, n, o, o]`` in float32. "tutorial" is torch's own recipe, Jacobian
contraction with ``vmap`` and ``jacrev`` (pytorch.org, "Neural Tangent Kernels").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import torch
from torch.func import jacrev, vmap

import tangency as tg

from ..entk_models import (
    MODELS,
    jax_function,
    torch_function,
    torch_inputs,
    torch_weights,
)
from ..peers.client import Peer, shared
from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown, megabytes, ratio, seconds
from ..timing import Sample, measure, repetitions

# Samples of every model; FCN layouts with 8, as the peer's Jacobians are large.
SIZES = {
    "fcn": 32,
    "fcn-plain": 8,
    "fcn-transposed": 8,
    "fcn-scaled": 8,
    "fcn-cast": 8,
    "cnn-tutorial": 8,
    "cnn-wide": 16,
    "cnn-pool": 8,
    "transformer": 4,
}
# Jacobians of these take 0.5 to 7 GB, and seconds to minutes.
TUTORIAL = ("fcn", "fcn-plain", "cnn-tutorial", "cnn-pool", "transformer")
PEER_JACOBIAN = ("fcn", "cnn-tutorial", "cnn-wide", "cnn-pool")

GATE = 2
# float32 sums of up to 1e6 products, against float64.
TOLERANCE = 2e-5
# Weights are rounded to bfloat16, and with them the gradients: 8 bits.
CAST_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Problem:
    """A model and its number of samples.

    Args:
        model: its name.
        n: samples of x1, and of x2.
        symmetric: whether x2 is x1, and None is passed.
    """

    model: str
    n: int
    symmetric: bool = False

    def inputs(self) -> tuple[np.ndarray, np.ndarray | None]:
        """x1 and x2."""
        model = MODELS[self.model]
        second = None if self.symmetric else model.inputs(self.n, 2)
        return model.inputs(self.n, 1), second

    def reference(self) -> np.ndarray:
        """The first samples by Jacobian contraction in float64 torch."""
        f = torch_function(MODELS[self.model])
        weights = {k: w.double() for k, w in torch_weights(MODELS[self.model]).items()}
        x1, x2 = self.inputs()
        x2 = x1 if x2 is None else x2
        sides = (torch_inputs(x[:GATE]).double() for x in (x1, x2))
        return contraction(f, weights, *sides).numpy()


def contraction(f: Any, weights: dict[str, Any], x1: Any, x2: Any) -> Any:
    """Jacobian contraction as in torch's tutorial."""

    def rows(x: Any) -> list[Any]:
        single = lambda p, xi: f(p, xi[None])[0]  # noqa: E731
        found = vmap(jacrev(single), (None, 0))(weights, x)
        return [j.flatten(2) for j in found.values()]

    pairs = zip(rows(x1), rows(x2), strict=True)
    return sum(torch.einsum("naf,mbf->nmab", one, two) for one, two in pairs)


class OurRun(Run):
    """A call without arguments that returns the kernel."""

    def __init__(self, problem: Problem, call: Any, facts: dict[str, Any]) -> None:
        self.call, self.amount, self.facts = call, problem.n**2, facts
        self._loops = 1

    def once(self) -> Any:
        return self.call()

    def value(self) -> np.ndarray:
        kernel = np.asarray(self.once())
        self._loops = repetitions(measure(self.once).wall)
        return kernel[:GATE, :GATE]

    def warm(self) -> None:
        # Compiled programs are for one size: the warm call is a whole one.
        self.once()

    def sample(self) -> Sample:
        return measure(self.once, self._loops)


def jax_run(problem: Problem) -> Run:
    """Ours in JAX, the automatic method."""
    model = MODELS[problem.model]
    weights = [jax.device_put(w) for w in model.weights()]
    x1, x2 = (None if x is None else jax.device_put(x) for x in problem.inputs())
    kernel = tg.EmpiricalKernel(jax_function(model), weights, trace_axes=())
    facts = {"explanation": str(kernel.explain(x1, x2))}
    return OurRun(problem, lambda: jax.block_until_ready(kernel(x1, x2)), facts)


def torch_run(problem: Problem) -> Run:
    """Ours in torch, the automatic method."""
    model = MODELS[problem.model]
    x1, x2 = (None if x is None else torch_inputs(x) for x in problem.inputs())
    f, weights = torch_function(model), torch_weights(model)
    kernel = tg.EmpiricalKernel(f, weights, trace_axes=())
    facts = {"explanation": str(kernel.explain(x1, x2))}
    return OurRun(problem, lambda: kernel(x1, x2).numpy(), facts)


def tutorial_run(problem: Problem) -> Run:
    """torch's tutorial."""
    model = MODELS[problem.model]
    x1, x2 = problem.inputs()
    sides = [torch_inputs(x) for x in (x1, x1 if x2 is None else x2)]
    f, weights = torch_function(model), torch_weights(model)
    return OurRun(problem, lambda: contraction(f, weights, *sides).numpy(), {})


class PeerRun(Run):
    """neural-tangents, one of its implementations.

    Args:
        problem: model and number of samples.
        implementation: "STRUCTURED_DERIVATIVES", "NTK_VECTOR_PRODUCTS" or
            "JACOBIAN_CONTRACTION".
    """

    def __init__(self, problem: Problem, implementation: str) -> None:
        self.problem, self.implementation = problem, implementation
        self.amount, self.peer, self._loops = problem.n**2, shared(), 1
        self._pose(self.peer)
        self.facts = {
            "peer": self.peer.request("hello"),
            "implementation": implementation,
        }

    def value(self) -> np.ndarray:
        self._loops = repetitions(self._time(1).wall)
        path = self.peer.path()
        self.peer.request("entk_value", out=str(path))
        return self.peer.load(str(path))[:GATE, :GATE]

    def sample(self) -> Sample:
        return self._time(self._loops)

    def peak_bytes(self) -> int:
        with Peer() as fresh:
            self._pose(fresh)
            return int(fresh.request("entk_memory")["bytes"])

    def close(self) -> None:
        self.peer.request("entk_forget")

    def _pose(self, peer: Peer) -> None:
        p = self.problem
        peer.request(
            "entk_problem",
            model=p.model,
            n=p.n,
            symmetric=p.symmetric,
            implementation=self.implementation,
        )

    def _time(self, loops: int) -> Sample:
        # Several contenders of one case share the worker: the problem is posed anew.
        return Sample(**self.peer.request("entk_time", loops=loops))


def case(name: str, n: int, symmetric: bool = False) -> Case:
    """The full kernel of one model."""
    problem = Problem(name, n, symmetric)
    contenders = {
        "jax": Contender(partial(jax_run, problem), memory=True),
        "torch": Contender(partial(torch_run, problem), memory=True),
    }
    if name in TUTORIAL and not symmetric:
        run = partial(tutorial_run, problem)
        contenders["tutorial"] = Contender(run, memory=True)
    peer = partial(PeerRun, problem, "STRUCTURED_DERIVATIVES")
    contenders["neural-tangents"] = Contender(peer, peer=True, memory=True)
    return Case(
        name=f"{name}/symmetric" if symmetric else name,
        reference=problem.reference,
        reference_name="Jacobian contraction in float64",
        contenders=contenders,
        tolerance=CAST_TOLERANCE if name.endswith("cast") else TOLERANCE,
        unit="pair",
        problem={
            "model": name,
            "n": n,
            "outputs": 10,
            "dtype": "float32",
            "symmetric": symmetric,
        },
        quick=name == "fcn-plain",
    )


def jacobian_case(name: str, n: int) -> Case:
    """neural-tangents by Jacobian contraction, which is its best for some CNNs."""
    problem = Problem(name, n)
    peer = partial(PeerRun, problem, "JACOBIAN_CONTRACTION")
    return Case(
        name=f"{name}/peer-jacobian",
        reference=problem.reference,
        reference_name="Jacobian contraction in float64",
        contenders={
            "jax": Contender(partial(jax_run, problem)),
            "neural-tangents": Contender(peer, peer=True, memory=True),
        },
        tolerance=TOLERANCE,
        unit="pair",
        problem={"model": name, "n": n, "outputs": 10, "dtype": "float32"},
    )


def table(lines: Sequence[Line]) -> str:
    """Seconds of a call, ratios, CPU time and peak memory."""
    names = ("neural-tangents", "tutorial", "jax", "torch")
    header = ["case", *names, "peer / jax", "tutorial / torch", "CPU: jax", "torch"]
    header += [f"memory: {names[0]}", *names[1:]]
    rows = []
    for name, found in by_case(lines).items():
        peer, tutorial, ours, torch_line = (found.get(k) for k in names)
        call = lambda x: seconds(x["wall_s"]["p50"])  # noqa: E731
        cpu = lambda x: seconds(x["cpu_s"]["p50"])  # noqa: E731
        rows.append(
            [
                name,
                *(cell(found.get(k), call) for k in names),
                ratio(peer, ours),
                ratio(tutorial, torch_line),
                cell(ours, cpu),
                cell(torch_line, cpu),
                *(cell(found.get(k), megabytes) for k in names),
            ]
        )
    return f"{markdown(header, rows)}\n\n{footer(lines)}"


@suite("entk", "the empirical NTK of finite networks", table)
def cases() -> Iterator[Case]:
    """All models, symmetric calls, and the peer's other implementation."""
    for name, n in SIZES.items():
        yield case(name, n)
    for name in ("fcn", "cnn-wide"):
        yield case(name, SIZES[name], symmetric=True)
    for name in PEER_JACOBIAN:
        yield jacobian_case(name, SIZES[name])
