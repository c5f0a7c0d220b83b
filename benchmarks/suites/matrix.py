"""Whole kernel matrices: the cost of tiles, of stores, and of solving with them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import tangency as tg
from tangency.regression.tiled_cholesky import factorise_tiled

from ..calls import CallRun, OnceRun, dask_cluster, processes
from ..factor_on_disk import FEATURES, OUTPUTS, RIDGE, inputs, kernel, right_side
from ..networks import fully_connected, myrtle5_gap
from ..registry import Case, Contender, Run, suite
from ..results import Line
from ..table import by_case, cell, footer, markdown, ratio, seconds

# Tiles of about a second on one core: 21 x 21 pairs of Myrtle-5 at 32 pixels.
SIDE, PIXELS, QUICK_PIXELS = 21, 32, 8
TILE_ROWS, QUICK_ROWS = 6000, 500
SOLVED, FACTORED = (1000, 5000, 20_000), (1000, 10_000)


def images(n: int, pixels: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, pixels, pixels, 3), dtype=np.float32)


def bare_images(pixels: int, folder: Path, executor: Any = None) -> np.ndarray:
    """The kernel in one call, here or in a process of one thread."""
    kernel, x1, x2 = _image_problem(pixels)
    if executor is None:
        return kernel(x1, x2, "ntk")
    return executor.submit(kernel, x1, x2, "ntk").result()


def tiled_images(
    pixels: int, stored: bool, folder: Path, executor: Any = None
) -> np.ndarray:
    """The same in eight tiles."""
    kernel, x1, x2 = _image_problem(pixels)
    found = tg.compute(
        kernel, x1, x2, tile=SIDE, executor=executor,
        path=folder / "k" if stored else None,
        workers_write=stored or None,
    )  # fmt: skip
    return np.asarray(found)


def _image_problem(pixels: int) -> tuple[tg.ExactKernel, np.ndarray, np.ndarray]:
    kernel = tg.ExactKernel(myrtle5_gap())
    return kernel, images(4 * SIDE, pixels), images(2 * SIDE, pixels)


def overhead_case(pixels: int) -> Case:
    """Eight tiles against one call, with all threads and with one."""
    memory, disk = (partial(tiled_images, pixels, s) for s in (False, True))
    bare = partial(bare_images, pixels)
    one, two = partial(processes, 1), partial(processes, 2)
    calls: dict[str, Callable[[], Run]] = {
        "bare kernel": partial(CallRun, bare),
        "tiles in memory": partial(CallRun, memory),
        "tiles on disk": partial(CallRun, disk),
        "bare kernel, 1 thread": partial(CallRun, bare, one),
        "1 process": partial(CallRun, disk, one),
        "2 processes": partial(CallRun, disk, two),
        "dask, 2 processes": partial(CallRun, disk, partial(dask_cluster, 2)),
    }
    return Case(
        name=f"tiles-of-a-second/{pixels}",
        reference=partial(bare_images, pixels, Path()),
        reference_name="one call of the kernel",
        contenders={name: Contender(start) for name, start in calls.items()},
        tolerance=1e-6,
        unit="matrix",
        problem={"network": "myrtle5-gap", "pixels": pixels, "tile": SIDE, "tiles": 8},
        quick=pixels == QUICK_PIXELS,
        repeats=3,
    )


def bare(n: int, folder: Path) -> np.ndarray:
    return kernel()(inputs(n), get="ntk")[:QUICK_ROWS]


def tiled(n: int, stored: bool, folder: Path) -> np.ndarray:
    found = tg.compute(kernel(), inputs(n), path=folder / "k" if stored else None)
    # A store is left on disk; its first rows stand for it.
    return found[:QUICK_ROWS]


def first_rows(n: int) -> np.ndarray:
    exact = tg.ExactKernel(fully_connected(3), engine="exact")
    return exact(inputs(n)[:QUICK_ROWS], inputs(n), "ntk")


def resume_case(n: int) -> Case:
    """A cheap kernel, where the disk decides; and a finished store that is resumed:
    every tile is read, and its checksum compared."""
    memory, disk = partial(tiled, n, False), partial(tiled, n, True)
    calls: dict[str, Callable[[], Run]] = {
        "bare kernel": partial(CallRun, partial(bare, n)),
        "tiles in memory": partial(CallRun, memory),
        "tiles on disk": partial(CallRun, disk),
        "resumed": partial(CallRun, disk, keep=True),
    }
    return Case(
        name=f"cheap-tiles/{n}",
        reference=partial(first_rows, n),
        reference_name="exact engine in float64",
        contenders={name: Contender(start) for name, start in calls.items()},
        # Nearly equal inputs have angles of 1e-8, by rounding.
        tolerance=1e-7,
        unit="matrix",
        problem={"n": n, "features": FEATURES, "depth": 3, "dtype": "float64"},
        quick=n == QUICK_ROWS,
        repeats=3,
    )


@cache
def matrix(n: int) -> tuple[np.ndarray, np.ndarray]:
    return tg.compute(kernel(), inputs(n)), right_side(n)


def solved(n: int, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """(K + ridge I) x, which should be y, and what the report says."""
    k, y = matrix(n)
    solution = tg.solve(k, y, RIDGE, **options)
    report = solution.report
    facts = {
        "residual": float(report.residuals.max()),
        "iterations": int(report.iterations.max()),
        "condition": report.condition,
    }
    return _times(n, solution.x), facts


def out_of_core(n: int) -> tuple[np.ndarray, dict[str, Any]]:
    k, y = matrix(n)
    shift = RIDGE * float(np.mean(k.diagonal()))
    with TemporaryDirectory() as folder:
        factor = factorise_tiled(k, shift, k.nbytes // 16, scratch=folder)
        x, facts = factor.solve(y), {"panels": len(factor.panels)}
        del factor
    return _times(n, x), facts


def _times(n: int, x: np.ndarray) -> np.ndarray:
    k, _ = matrix(n)
    return k @ x + RIDGE * float(np.mean(k.diagonal())) * x


def solve_case(n: int) -> Case:
    calls = {
        "cholesky": partial(solved, n),
        "pcg": partial(solved, n, solver="pcg"),
    }
    if n < SOLVED[-1]:
        # Minutes more at the largest size, where memory is no reason for it.
        calls["block"] = partial(solved, n, solver="block")
    # The residual of an iteration is below 1e-6 of the norm of y.
    tolerances = {"cholesky": 1e-10, "pcg": 1e-5, "block": 1e-5}
    return _right_side_case(f"solve/{n}", n, calls, tolerances, n == SOLVED[0])


def factor_case(n: int) -> Case:
    calls = {"cholesky": partial(solved, n), "out of core": partial(out_of_core, n)}
    tolerances = dict.fromkeys(calls, 1e-10)
    return _right_side_case(f"factor/{n}", n, calls, tolerances, n == FACTORED[0])


def _right_side_case(
    name: str,
    n: int,
    calls: dict[str, Callable[[], tuple[np.ndarray, dict[str, Any]]]],
    tolerances: dict[str, float],
    quick: bool,
) -> Case:
    return Case(
        name=name,
        reference=lambda: matrix(n)[1],
        reference_name="the right-hand side",
        contenders={
            who: Contender(partial(OnceRun, call), tolerance=tolerances[who])
            for who, call in calls.items()
        },
        tolerance=1e-10,
        unit="solve",
        problem={"n": n, "outputs": OUTPUTS, "ridge": RIDGE, "dtype": "float64"},
        quick=quick,
        repeats=1,
    )


def table(lines: Sequence[Line]) -> str:
    """Every contender beside the first of its case, and beside the one before it."""
    rows = []
    for name, found in by_case(lines).items():
        first = before = next(iter(found.values()))
        for contender, line in found.items():
            rows.append(
                [
                    f"{name}, {contender}",
                    cell(line, lambda x: seconds(x["wall_s"]["p50"])),
                    cell(line, lambda x: seconds(x["cpu_s"]["p50"])),
                    ratio(line, first),
                    ratio(before, line),
                    cell(line, lambda x: x["facts"].get("iterations")),
                    cell(line, lambda x: f"{x['gate']['error']:.0e}"),
                ]
            )
            before = line
    header = [
        "case", "wall", "CPU", "of the first", "faster than the one above",
        "iterations", "error",
    ]  # fmt: skip
    return f"{markdown(header, rows)}\n\n{footer(lines)}"


@suite("matrix", "whole kernel matrices: tiles, stores, solvers", table)
def cases() -> Iterator[Case]:
    yield from map(overhead_case, (QUICK_PIXELS, PIXELS))
    yield from map(resume_case, (QUICK_ROWS, TILE_ROWS))
    yield from map(solve_case, SOLVED)
    yield from map(factor_case, FACTORED)
