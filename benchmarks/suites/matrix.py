"""Whole kernel matrices: the cost of tiles, of stores, and of solving with them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import tangency as tg
from tangency.regression.tiled_cholesky import factorise_tiled

from ..networks import fully_connected
from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown, ratio, seconds
from ..timing import Sample, measure

FEATURES, OUTPUTS, RIDGE = 64, 10, 1e-3
# Rows of tiles that take about a second each.
TILE_ROWS, QUICK_ROWS = 6000, 500
SOLVED, FACTORED = (1000, 5000, 20_000), (1000, 10_000)


class CallRun(Run):
    """A call that returns an array; the folder that it is given is emptied before.

    Args:
        call: takes the folder and, if ``executor`` is one, the executor.
        facts: for the line.
        keep: whether the folder keeps what earlier calls left.
        dask: whether a Dask cluster on this machine is started for it.
    """

    def __init__(
        self,
        call: Callable[..., np.ndarray],
        keep: bool = False,
        dask: bool = False,
        **facts: Any,
    ) -> None:
        self.call, self.keep, self.facts = call, keep, facts
        self.folder = Path(tempfile.mkdtemp(".benchmark"))
        self.open, self.options = ExitStack(), {}
        if dask:
            from distributed import LocalCluster

            cluster = LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            )
            self.open.enter_context(cluster)
            self.options = {"executor": cluster.scheduler_address}

    def once(self) -> np.ndarray:
        if not self.keep:
            shutil.rmtree(self.folder)
            self.folder.mkdir()
        return self.call(self.folder, **self.options)

    def value(self) -> np.ndarray:
        return np.asarray(self.once())

    def sample(self) -> Sample:
        return measure(self.once)

    def close(self) -> None:
        self.open.close()
        shutil.rmtree(self.folder)


def inputs(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, FEATURES))


def kernel() -> tg.ExactKernel:
    return tg.ExactKernel(fully_connected(3))


def bare(n: int, folder: Path) -> np.ndarray:
    return kernel()(inputs(n), get="ntk")


def tiled(n: int, stored: bool, folder: Path, executor: Any = None) -> np.ndarray:
    path = folder / "k" if stored else None
    found = tg.compute(kernel(), inputs(n), executor=executor, path=path)
    # A store is left on disk; its first rows stand for it.
    return found[: len(found)] if path is None else found[:QUICK_ROWS]


def first_rows(n: int) -> np.ndarray:
    exact = tg.ExactKernel(fully_connected(3), engine="exact")
    return exact(inputs(n)[:QUICK_ROWS], inputs(n), "ntk")


def sliced(call: Callable[..., np.ndarray], folder: Path, **options: Any) -> np.ndarray:
    """The rows that are compared."""
    return call(folder, **options)[:QUICK_ROWS]


def tiles_case(n: int, quick: bool) -> Case:
    """One call, and tiles: in memory, on disk, in two processes, on Dask, resumed."""
    memory, disk = partial(tiled, n, False), partial(tiled, n, True)
    calls: dict[str, Callable[[], Run]] = {
        "bare kernel": partial(CallRun, partial(sliced, partial(bare, n))),
        "in memory": partial(CallRun, partial(sliced, memory)),
        "on disk": partial(CallRun, disk),
        "2 processes": partial(CallRun, partial(disk, executor=2)),
        "dask": partial(CallRun, disk, dask=True),
        "resumed": partial(CallRun, disk, keep=True),
    }
    return Case(
        name=f"tiles/{n}",
        reference=partial(first_rows, n),
        reference_name="exact engine in float64",
        contenders={name: Contender(start) for name, start in calls.items()},
        # Nearly equal inputs have angles of 1e-8, by rounding.
        tolerance=1e-7,
        unit="matrix",
        problem={"n": n, "features": FEATURES, "depth": 3, "dtype": "float64"},
        quick=quick,
    )


@cache
def matrix(n: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.random.default_rng(1).standard_normal((n, OUTPUTS))
    return tg.compute(kernel(), inputs(n)), y


def solved(n: int, solver: str, folder: Path) -> np.ndarray:
    return tg.solve(*matrix(n), RIDGE, solver=solver).x


def out_of_core(n: int, folder: Path) -> np.ndarray:
    k, y = matrix(n)
    shift = RIDGE * float(np.mean(k.diagonal()))
    # A sixteenth of the matrix.
    return factorise_tiled(k, shift, k.nbytes // 16, scratch=folder).solve(y)


def reference(n: int) -> np.ndarray:
    k, y = matrix(n)
    shifted = k + RIDGE * np.mean(k.diagonal()) * np.eye(n)
    return np.linalg.solve(shifted, y)


def solve_case(n: int) -> Case:
    return Case(
        name=f"solve/{n}",
        reference=partial(reference, n),
        reference_name="numpy.linalg.solve",
        contenders={
            "cholesky": Contender(partial(CallRun, partial(solved, n, "cholesky"))),
            "pcg": Contender(
                partial(CallRun, partial(solved, n, "pcg"), rank=100),
                # A residual of 1e-6, times what the condition number makes of it.
                tolerance=1e-3,
            ),
        },
        tolerance=1e-8,
        unit="solve",
        problem={"n": n, "outputs": OUTPUTS, "ridge": RIDGE, "dtype": "float64"},
        quick=n == SOLVED[0],
    )


def factor_case(n: int) -> Case:
    return Case(
        name=f"out-of-core/{n}",
        reference=partial(reference, n),
        reference_name="numpy.linalg.solve",
        contenders={
            "cholesky": Contender(partial(CallRun, partial(solved, n, "cholesky"))),
            "out of core": Contender(partial(CallRun, partial(out_of_core, n))),
        },
        tolerance=1e-8,
        unit="solve",
        problem={"n": n, "outputs": OUTPUTS, "ridge": RIDGE, "dtype": "float64"},
        quick=n == FACTORED[0],
    )


def table(lines: Sequence[Line]) -> str:
    """Every contender beside the first of its case."""
    rows = []
    for name, found in by_case(lines).items():
        first = next(iter(found.values()))
        for contender, line in found.items():
            rows.append(
                [
                    f"{name}, {contender}",
                    cell(line, lambda x: seconds(x["wall_s"]["p50"])),
                    cell(line, lambda x: seconds(x["cpu_s"]["p50"])),
                    ratio(line, first),
                    cell(line, lambda x: f"{x['gate']['error']:.0e}"),
                ]
            )
    header = ["case", "wall", "CPU", "to the first", "error"]
    return f"{markdown(header, rows)}\n\n{footer(lines)}"


@suite("matrix", "whole kernel matrices: tiles, stores, solvers", table)
def cases() -> Iterator[Case]:
    yield tiles_case(QUICK_ROWS, quick=True)
    yield tiles_case(TILE_ROWS, quick=False)
    yield from map(solve_case, SOLVED)
    yield from map(factor_case, FACTORED)
