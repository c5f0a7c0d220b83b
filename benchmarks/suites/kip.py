"""A step of KIP at 32 x 32: ours and neural-tangents; and how good distilled sets are.

A step is the loss of a support set on a batch of targets and its gradient in the
images: two kernel matrices, a solve, and the backward pass of both matrices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

import tangency as tg
from tangency.distillation.ridge_loss import ridge_loss

from ..networks import images, kip_convnet
from ..peers.client import Peer, shared
from ..peers.spec import spec
from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown, megabytes, ratio, seconds
from ..timing import Sample, measure, repetitions
from .kip_accuracy import accuracy_cases, accuracy_table

PIXELS, CLASSES, RIDGE = 32, 10, 1e-6
# The paper's target batch; on a CPU fewer targets are timed, and the table says so.
PAPER_TARGETS = 5000
# Support and targets that both get: neural-tangents keeps 50 MB for every pair, and
# takes half a second for each. The first one is too small to occupy two cores of ours.
COMPARED = (4, 12)
LARGER = (8, 24)
# Ours, at the paper's supports.
SCALED = {10: 150, 100: 25, 500: 5}
GATE = (2, 4)
# float32 kernels and a solve, against central differences in float64.
TOLERANCE, PEER_TOLERANCE = 1e-4, 1e-3
STEP = 1e-4
# Brings the slope that the gate looks at to the size of the loss.
SLOPE = 50.0


@dataclass(frozen=True)
class Problem:
    """Random support and targets.

    Args:
        support, targets: numbers of images.
    """

    support: int
    targets: int

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Images and labels of the support, images and labels of the targets."""
        return (
            images(self.support, PIXELS, 1),
            _targets(self.support),
            images(self.targets, PIXELS, 2),
            _targets(self.targets),
        )

    @property
    def pairs(self) -> int:
        """Entries of the kernels that a step needs, K_ss being symmetric."""
        return self.support * (self.support + 1) // 2 + self.support * self.targets

    def describe(self) -> dict[str, Any]:
        """What goes into the line."""
        return {
            "network": spec(kip_convnet()),
            "input": [PIXELS, PIXELS, 3],
            "support": self.support,
            "targets": self.targets,
            "paper_targets": PAPER_TARGETS,
            "pairs": self.pairs,
            "ridge": RIDGE,
            "get": ["ntk"],
            "dtype": "float32",
        }


def _targets(n: int) -> np.ndarray:
    """Centred one-hot labels, float32."""
    labels = tg.centred_one_hot(np.arange(n) % CLASSES, CLASSES)
    return labels.astype(np.float32)


@cache
def direction(n: int) -> np.ndarray:
    """``[n, ...]``: the direction in which the gate looks at gradients."""
    return images(n, PIXELS, 5).astype(np.float64)


def summary(loss: float, gradient: np.ndarray) -> np.ndarray:
    """Loss and scaled derivative along ``direction``, ``[2]``."""
    v = direction(len(gradient))
    slope = np.vdot(v, gradient.astype(np.float64))
    return np.array([loss, SLOPE * slope])


@cache
def reference(support: int, targets: int) -> np.ndarray:
    """``summary`` of a problem by the exact engine in float64: the derivative
    is a central difference of the loss."""
    x_s, y_s, x_t, y_t = (
        a.astype(np.float64) for a in Problem(support, targets).arrays()
    )
    kernel = tg.ExactKernel(kip_convnet(), engine="exact")

    def loss(x: np.ndarray) -> float:
        # A tile of one pair has the covariances of all pairs of pixels: 8 MB a layer.
        matrices = tg.compute(kernel, x), tg.compute(kernel, x, x_t)
        return ridge_loss(*matrices, y_s, y_t, RIDGE).value

    v = direction(support)
    slope = (loss(x_s + STEP * v) - loss(x_s - STEP * v)) / (2 * STEP)
    return np.array([loss(x_s), SLOPE * slope])


class OurStep(Run):
    """A step by two passes over tiles of the compiled kernel."""

    def __init__(self, problem: Problem, gate: Problem) -> None:
        self.kernel = tg.ExactKernel(kip_convnet(), engine="planes")
        self.arrays, self.gate, self._loops = problem.arrays(), gate.arrays(), 1
        self.facts: dict[str, Any] = {"pairs": problem.pairs}

    def once(self) -> Any:
        found = tg.kip_gradients(self.kernel, *self.arrays, RIDGE)
        return np.asarray(found.loss), found.images

    def warm(self) -> None:
        tg.kip_gradients(self.kernel, *Problem(1, 1).arrays(), RIDGE)

    def value(self) -> np.ndarray:
        self.warm()
        self._loops = repetitions(measure(self.once).wall)
        found = tg.kip_gradients(self.kernel, *self.gate, RIDGE)
        return summary(found.loss, found.images)

    def sample(self) -> Sample:
        return measure(self.once, self._loops)


class PeerStep(Run):
    """A step by neural-tangents, its kernels differentiated by JAX, jitted."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.peer = problem, shared()
        _pose(self.peer, problem)
        self.facts = {"peer": self.peer.request("hello"), "pairs": problem.pairs}

    def value(self) -> np.ndarray:
        # The first run of compiled code is timed by nobody.
        self.peer.request("kip_time")
        path = self.peer.path()
        self.peer.request("kip_value", out=str(path))
        loss, *gradient = self.peer.load(str(path))
        shape = (self.problem.support, PIXELS, PIXELS, 3)
        return summary(loss, np.reshape(gradient, shape))

    def sample(self) -> Sample:
        return Sample(**self.peer.request("kip_time"))

    def peak_bytes(self) -> int:
        with Peer() as fresh:
            _pose(fresh, self.problem)
            return int(fresh.request("kip_memory")["bytes"])

    def close(self) -> None:
        self.peer.request("kip_forget")


def _pose(peer: Peer, problem: Problem) -> None:
    names = ("images", "labels", "x", "y")
    arrays = dict(zip(names, map(peer.save, problem.arrays()), strict=True))
    peer.request("kip_problem", spec=spec(kip_convnet()), ridge=RIDGE, **arrays)


def step_case(
    support: int, targets: int, peer: bool = False, long: bool = False
) -> Case:
    """A step of one size; the peer takes minutes for a long one, timed once."""
    problem = Problem(support, targets)
    # neural-tangents would have to compile a step of another size for the gate.
    gate = problem if peer else Problem(*GATE)
    contenders = {"tangency": Contender(partial(OurStep, problem, gate), memory=True)}
    if peer:
        contenders["neural-tangents"] = Contender(
            partial(PeerStep, problem),
            tolerance=PEER_TOLERANCE,
            peer=True,
            memory=True,
        )
    return Case(
        name=f"step/{support}x{targets}",
        reference=partial(reference, gate.support, gate.targets),
        reference_name="central differences of the exact engine in float64",
        contenders=contenders,
        tolerance=TOLERANCE,
        unit="step",
        problem=problem.describe(),
        quick=peer and not long,
        long=long,
        repeats=1 if peer and long else None,
    )


def table(lines: Sequence[Line]) -> str:
    """Seconds and memory of a step, then accuracies."""
    cases = by_case(lines)
    steps = {n: c for n, c in cases.items() if n.startswith("step/")}
    others = {n: c for n, c in cases.items() if n not in steps}
    parts = [step_table(steps), accuracy_table(others), footer(lines)]
    return "\n\n".join(part for part in parts if part)


def step_table(cases: dict[str, dict[str, Line]]) -> str:
    header = ["support x targets", "pairs", "neural-tangents", "tangency"]
    header += ["ratio", "per pair", "memory: peer", "tangency"]
    header += [f"projected, {PAPER_TARGETS} targets"]
    rows = []
    for name, case in cases.items():
        ours, peer = case.get("tangency"), case.get("neural-tangents")
        line = ours or peer
        rows.append(
            [
                name.removeprefix("step/").replace("x", " x "),
                str(line["problem"]["pairs"]),
                cell(peer, lambda x: seconds(x["unit_s"])),
                cell(ours, lambda x: seconds(x["unit_s"])),
                ratio(peer, ours),
                cell(ours, lambda x: seconds(x["unit_s"] / x["problem"]["pairs"])),
                cell(peer, megabytes),
                cell(ours, megabytes),
                cell(ours, projected) if peer is None else "",
            ]
        )
    return markdown(header, rows) if rows else ""


def projected(line: Line) -> str:
    """Time of a step with the paper's targets, in proportion to the pairs."""
    full = Problem(line["problem"]["support"], PAPER_TARGETS).pairs
    return seconds(line["unit_s"] * full / line["problem"]["pairs"])


@suite("kip", "distillation: seconds per KIP step, accuracies of distilled sets", table)
def cases() -> Iterator[Case]:
    """Steps at 32 x 32, few-shot digits; distilled digits with --long."""
    yield step_case(*COMPARED, peer=True)
    yield step_case(*LARGER, peer=True, long=True)
    for support, targets in SCALED.items():
        yield step_case(support, targets, long=support >= 500)
    yield from accuracy_cases()
