"""Errors of sketches at equal CPU time: interpolated between measured dimensions."""

from collections.abc import Sequence

import numpy as np

from .results import Line
from .table import MISSING, markdown, seconds

BASELINE = "polysketch"
KINDS = ("relative", "centred", "spectral")


def rms(values: Sequence[float]) -> float:
    """Root mean square over seeds."""
    return float(np.sqrt(np.mean(np.square(values))))


def curve(lines: Sequence[Line], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """CPU seconds per input and error of one method, by growing seconds."""
    cpu = np.asarray([line["cpu_s"]["p50"] / line["amount"] for line in lines])
    error = np.asarray([rms(line["facts"]["errors"][kind]) for line in lines])
    order = np.argsort(cpu)
    return cpu[order], error[order]


def error_at(cpu: np.ndarray, error: np.ndarray, seconds: float) -> float | None:
    """The error within so many seconds, linear between the measured points in both
    logarithms; beyond the last point its own, before the first one None.

    >>> error_at(np.asarray([1.0, 4.0]), np.asarray([0.4, 0.1]), 2.0)
    0.2
    """
    if seconds < cpu[0]:
        return None
    logs = np.interp(np.log(seconds), np.log(cpu), np.log(error))
    return round(float(np.exp(logs)), 12)


def comparison(lines: Sequence[Line]) -> str:
    """How many times smaller every method's errors are than those of PolySketch in the
    CPU time that PolySketch takes, for every one of its dimensions."""
    header = ["data", "PolySketch dim", "CPU per input", "method"]
    header += [f"{kind}, times lower" for kind in KINDS]
    rows = []
    for data in dict.fromkeys(line["problem"]["data"] for line in lines):
        here = [line for line in lines if line["problem"]["data"] == data]
        methods = dict.fromkeys(line["contender"] for line in here)
        for base in (line for line in here if line["contender"] == BASELINE):
            spent = base["cpu_s"]["p50"] / base["amount"]
            for method in methods:
                if method == BASELINE:
                    continue
                own = [line for line in here if line["contender"] == method]
                found = [_ratio(base, own, kind, spent) for kind in KINDS]
                dim = str(base["problem"]["dim"])
                rows.append([data, dim, seconds(spent), method, *found])
    return markdown(header, rows)


def _ratio(base: Line, own: Sequence[Line], kind: str, spent: float) -> str:
    error = error_at(*curve(own, kind), spent)
    if not error:
        return MISSING
    return f"{rms(base['facts']['errors'][kind]) / error:.2f}"
