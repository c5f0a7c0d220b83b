"""Factorise on disk and solve, in a process of its own whose memory is watched.

python -m benchmarks.factor_on_disk 8000 an-empty-folder

It imports nothing but what the work needs: memory counts.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tangency as tg
from tangency.regression.tiled_cholesky import factorise_tiled

from .memory import peak
from .networks import fully_connected

FEATURES, OUTPUTS, RIDGE = 64, 10, 1e-3
# Rows; megabytes for the factorisation; and megabytes that the whole process may take,
# with the interpreter, the libraries (200 MB) and the tile that is being read.
SIZES = {8000: (100, 400), 40_000: (1500, 2000)}
PARTS = ("kernel", "factor", "solve")


def inputs(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, FEATURES))


def kernel() -> tg.ExactKernel:
    return tg.ExactKernel(fully_connected(3))


def right_side(n: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, OUTPUTS))


def factor_and_solve(n: int, folder: Path) -> dict[str, Any]:
    """The child's work: the kernel goes to disk, its factor too."""
    budget, limit = SIZES[n]
    clock = [time.perf_counter()]
    k = tg.compute(kernel(), inputs(n), path=folder / "k.tiles", progress=True)
    shift = RIDGE * float(np.mean(k.diagonal()))
    clock.append(time.perf_counter())
    factor = factorise_tiled(k, shift, budget << 20, folder, progress=True)
    clock.append(time.perf_counter())
    y = right_side(n)
    x = factor.solve(y)
    clock.append(time.perf_counter())
    product = k @ x + shift * x
    np.save(folder / "product.npy", product)
    residual = np.linalg.norm(product - y, axis=0) / np.linalg.norm(y, axis=0)
    if peak() > limit << 20:
        raise RuntimeError(f"it took {peak() >> 20} MB, expected at most {limit}")
    times = dict(zip(PARTS, np.diff(clock), strict=True))
    return {
        **{f"{name}_s": float(value) for name, value in times.items()},
        "panels": len(factor.panels),
        "jitter": factor.jitter,
        "process_peak_bytes": peak(),
        "matrix_bytes": k.nbytes,
        "residual": float(residual.max()),
    }


if __name__ == "__main__":
    n, folder = sys.argv[1:]
    print(json.dumps(factor_and_solve(int(n), Path(folder))))
