"""Sketches: error against seconds, for every method at equal numbers of features."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import tangency as tg

from .. import sketch_ridge
from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..sketch_data import DATA, errors, group_means, load
from ..sketch_equal_time import KINDS, comparison, rms
from ..table import by_case, footer, markdown, seconds
from ..timing import Sample, loops_for, measure

METHODS = ("polysketch", "random", "nystrom", "hybrid")
VECTOR_DIMS = (64, 128, 256, 512)
DIMS = {
    "fc-256": VECTOR_DIMS,
    "one-layer": VECTOR_DIMS,
    "digits-cntk": (32, 64, 128, 256, 512),
    "photographs-cntk": (64, 128, 256),
}
# Of images, the papers' sketch takes as long with fewer features as others with these.
LARGEST_PAPER = 128
SEEDS = 5


def tolerance(dim: int) -> float:
    """Largest error of the mean kernel of all seeds, between means of groups of inputs.

    Single entries are off by what is measured here: noise of random features, and the
    diagonal that landmarks leave. Between means of many inputs both are small, and what
    is left is a scale that is off by about 1 / sqrt(dim SEEDS); eight times that are
    allowed. A kernel that lacks a term or a factor does not pass.
    """
    return 8 / (dim * SEEDS) ** 0.5


class SketchRun(Run):
    """Features of a batch; their errors over several seeds are facts."""

    def __init__(self, name: str, method: str, dim: int) -> None:
        self.inputs = load(name)
        self.method, self.dim = method, dim
        self.x = self.inputs.test[:16]
        self.amount = len(self.x)
        fits: list[Sample] = []
        found = []
        for seed in range(SEEDS):
            kernel = tg.SketchedKernel(self.inputs.net, dim, method, seed)
            with threadpool_limits(1):
                fits.append(measure(partial(self._fit, kernel)))
            found.append(self.kernel(self.inputs.test, get=self.inputs.get))
        self.mean = np.mean(found, axis=0)
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
        return group_means(self.mean)

    def once(self) -> np.ndarray:
        return self.kernel.features(self.x, self.inputs.get)

    def sample(self) -> Sample:
        # Threads that wait for one another would count as CPU time.
        with threadpool_limits(1):
            return measure(self.once, self.loops)


def case(name: str, dim: int) -> Case:
    """All methods on one data set with one number of features per layer."""
    slow = name.endswith("cntk") and dim > LARGEST_PAPER
    methods = METHODS[1:] if slow else METHODS
    return Case(
        name=f"{name}/{dim}",
        reference=lambda: group_means(load(name).exact),
        reference_name="exact kernel in float64",
        contenders={m: Contender(partial(SketchRun, name, m, dim)) for m in methods},
        tolerance=tolerance(dim),
        unit="input",
        problem={"data": name, "dim": dim, "seeds": SEEDS},
        quick=dim in DIMS[name][:2] and name in ("one-layer", "digits-cntk"),
    )


def table(lines: Sequence[Line]) -> str:
    """Errors of every method, the same at equal CPU time, and accuracies on digits."""
    of_errors = [line for line in lines if "errors" in line["facts"]]
    of_ridge = [line for line in lines if "accuracy" in line["facts"]]
    parts = [
        _errors(of_errors),
        "Errors of PolySketch in units of the others' at equal CPU time (interpolated "
        "between dimensions; where a method has no slower one, its most accurate):",
        comparison(of_errors),
        "Ridge regression on features of digits:",
        _accuracies(of_ridge),
        footer(lines),
    ]
    return "\n\n".join(parts)


def _errors(lines: Sequence[Line]) -> str:
    header = ["data / dim", "method", "features", "CPU per input", "fit, CPU"]
    header += ["relative", "centred", "spectral", "trace"]
    rows = []
    for name, found in by_case(lines).items():
        for method, line in found.items():
            e = line["facts"]["errors"]
            rows.append(
                [
                    name,
                    method,
                    str(line["facts"]["features"]),
                    seconds(line["cpu_s"]["p50"] / line["amount"]),
                    seconds(line["facts"]["fit_cpu_s"]),
                    *(_spread(e[kind]) for kind in KINDS),
                    f"{np.mean(e['trace']):+.3f}",
                ]
            )
    return markdown(header, rows)


def _spread(values: Sequence[float]) -> str:
    """Root mean square and standard deviation over seeds."""
    return f"{rms(values):.3g} +- {np.std(values, ddof=1):.1g}"


def _accuracies(lines: Sequence[Line]) -> str:
    header = ["data / dim", "method", "features", "accuracy", "exact kernel"]
    rows = []
    for name, found in by_case(lines).items():
        for method, line in found.items():
            facts = line["facts"]
            accuracy = f"{100 * np.mean(facts['accuracy']):.2f} %"
            exact = f"{100 * facts['exact_accuracy']:.2f} %"
            rows.append([name, method, str(facts["features"]), accuracy, exact])
    return markdown(header, rows)


@suite("sketch", "sketched kernels: error against seconds", table)
def cases() -> Iterator[Case]:
    """Vectors, one layer, digits and photographs, with growing numbers of features;
    and ridge regression."""
    for name in DATA:
        for dim in DIMS[name]:
            yield case(name, dim)
    for dim in sketch_ridge.DIMS:
        yield sketch_ridge.case(dim)
