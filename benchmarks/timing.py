"""Wall and CPU time of calls, taken in turn so that a slow minute hits everybody."""

import gc
import math
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

QUANTILES = (20, 50, 80)

# Thread pools spin for a moment after a call and would take a core from the next one.
REST = 0.05

# A sample repeats calls that are shorter than this.
LEAST_SECONDS = 0.1


@dataclass(frozen=True)
class Sample:
    """Seconds of one call. ``cpu`` counts every thread and every finished child."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, and its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(call: Callable[[], Any], loops: int = 1) -> Sample:
    """Seconds per call, over ``loops`` calls in a row."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    for _ in range(loops):
        call()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return Sample(wall / loops, cpu / loops)


def loops_for(call: Callable[[], Any]) -> int:
    """How many calls make a sample; finds out with one call, so let it be warm."""
    return repetitions(measure(call).wall)


def repetitions(seconds: float) -> int:
    """How many calls of so many seconds make a sample."""
    return max(1, math.ceil(LEAST_SECONDS / max(seconds, 1e-9)))


def interleave(
    samplers: Mapping[str, Callable[[], Sample]], repeats: int, rest: float = REST
) -> dict[str, list[Sample]]:
    """``repeats`` rounds of one sample each; every round starts with another one."""
    names = list(samplers)
    taken: dict[str, list[Sample]] = {name: [] for name in names}
    for turn in range(repeats):
        gc.collect()
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            time.sleep(rest)
            taken[name].append(samplers[name]())
    return taken


def quantiles(seconds: list[float]) -> dict[str, float]:
    """The 20 %, 50 % and 80 % quantiles as {"p20": ..., "p50": ..., "p80": ...}."""
    found = np.quantile(
        np.asarray(seconds, dtype=np.float64), np.array(QUANTILES) / 100
    )
    return {f"p{q}": float(v) for q, v in zip(QUANTILES, found, strict=True)}
