"""A system of 40,000 equations in two gigabytes of memory.

Not part of the suite ``matrix``: it takes ten minutes and 13 GB of disk.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .. import factor_on_disk
from ..calls import OnceRun
from ..factor_on_disk import OUTPUTS, PARTS, RIDGE, SIZES, right_side
from ..machine import ROOT
from ..registry import Case, Contender, suite
from ..results import Line
from ..table import by_case, footer, markdown, seconds


def solve_in_child(n: int) -> tuple[np.ndarray, dict[str, Any]]:
    """(K + ridge I) x from a fresh process, and what it measured of itself."""
    with TemporaryDirectory(prefix="tangency-", suffix=".benchmark") as folder:
        command = [sys.executable, "-m", factor_on_disk.__name__, str(n), folder]
        # Its progress bar goes to our standard error.
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        facts = json.loads(done.stdout.splitlines()[-1])
        return np.load(Path(folder, "product.npy")), facts


def size_case(n: int) -> Case:
    return Case(
        name=f"cholesky-{n}",
        reference=partial(right_side, n),
        reference_name="the right-hand side",
        contenders={
            "out of core": Contender(partial(OnceRun, partial(solve_in_child, n)))
        },
        tolerance=1e-8,
        unit="solve",
        problem={"n": n, "outputs": OUTPUTS, "ridge": RIDGE, "dtype": "float64"},
        quick=n == min(SIZES),
        repeats=1,
    )


def table(lines: Sequence[Line]) -> str:
    rows = []
    for name, found in by_case(lines).items():
        for line in found.values():
            facts = line["facts"]
            rows.append(
                [
                    name,
                    f"{facts['matrix_bytes'] / 1e9:.3g} GB",
                    f"{facts['process_peak_bytes'] / 1e9:.3g} GB",
                    *(seconds(facts[f"{part}_s"]) for part in PARTS),
                    f"{facts['residual']:.0e}",
                ]
            )
    header = ["case", "matrix", "memory of the process", *PARTS, "residual"]
    return f"{markdown(header, rows)}\n\n{footer(lines)}"


@suite("out-of-core", "systems that do not fit into memory", table)
def cases() -> Iterator[Case]:
    yield from map(size_case, SIZES)
