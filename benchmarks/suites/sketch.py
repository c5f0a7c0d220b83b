"""Sketches: error against seconds, for every method at equal numbers of features."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

import tangency as tg

from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..sketch_data import DATA, errors, load
from ..table import by_case, footer, markdown, seconds
from ..timing import Sample, loops_for, measure

METHODS = ("polysketch", "random", "nystrom", "hybrid")
DIMS = (64, 128, 256)
SEEDS = 5
# Errors are what is measured here, and in the maximum norm few features have large
# ones; the gate refuses what is not finite or of another size.
TOLERANCE = 10.0


class SketchRun(Run):
    """Features of the NTK of a batch; its errors over several seeds are facts."""

    def __init__(self, name: str, method: str, dim: int) -> None:
        self.inputs = load(name)
        self.method, self.dim = method, dim
        self.x = self.inputs.test[:16]
        self.amount = len(self.x)
        fits: list[Sample] = []
        found = []
        for seed in range(SEEDS):
            kernel = tg.SketchedKernel(self.inputs.net, dim, method, seed)
            fits.append(measure(partial(self._fit, kernel)))
            found.append(self.kernel(self.inputs.test, get="ntk"))
        self.first = found[0]
        self.loops = loops_for(self.once)
        each = [errors(k, self.inputs.exact) for k in found]
        self.facts = {
            "dim": dim,
            "features": int(self.once().shape[-1]),
            "fit_cpu_s": float(np.median([f.cpu for f in fits])),
            "errors": {key: [e[key] for e in each] for key in each[0]},
        }

    def _fit(self, kernel: tg.SketchedKernel) -> None:
        self.kernel = kernel.fit(self.inputs.sample)

    def value(self) -> np.ndarray:
        return self.first

    def once(self) -> np.ndarray:
        return self.kernel.features(self.x)

    def sample(self) -> Sample:
        return measure(self.once, self.loops)


def case(name: str, dim: int) -> Case:
    """All methods on one data set with one number of features per layer."""
    return Case(
        name=f"{name}/{dim}",
        reference=lambda: load(name).exact,
        reference_name="exact kernel in float64",
        contenders={m: Contender(partial(SketchRun, name, m, dim)) for m in METHODS},
        tolerance=TOLERANCE,
        unit="input",
        problem={"data": name, "dim": dim, "seeds": SEEDS},
        quick=dim == DIMS[0] and name != "photographs-cntk",
    )


def table(lines: Sequence[Line]) -> str:
    """CPU time and root mean square errors of every method."""
    header = ["data / dim", "method", "features", "CPU per input", "fit, CPU"]
    header += ["relative", "centred", "trace", "spectrum"]
    rows = []
    for name, found in by_case(lines).items():
        for method, line in found.items():
            facts = line["facts"]
            e = {k: np.asarray(v) for k, v in facts["errors"].items()}
            rows.append(
                [
                    name,
                    method,
                    str(facts["features"]),
                    seconds(line["cpu_s"]["p50"] / line["amount"]),
                    seconds(facts["fit_cpu_s"]),
                    f"{rms(e['relative']):.4f}",
                    f"{rms(e['centred']):.3f}",
                    f"{e['trace'].mean():+.3f}",
                    f"{e['smallest'].min():.2f} to {e['largest'].max():.2f}",
                ]
            )
    return f"{markdown(header, rows)}\n\n{footer(lines)}"


def rms(values: np.ndarray) -> float:
    """Root mean square over seeds."""
    return float(np.sqrt(np.mean(np.square(values))))


@suite("sketch", "sketched kernels: error against seconds", table)
def cases() -> Iterator[Case]:
    """Vectors, digits and patches of photographs, with growing numbers of features."""
    for name in DATA:
        for dim in DIMS:
            yield case(name, dim)
