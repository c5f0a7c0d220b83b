"""Processes of this machine, kept warm by loky."""

import os
from concurrent.futures import Executor

from loky import ProcessPoolExecutor, get_reusable_executor

from .gpus import OnePerGPU, visible_gpus

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def processes(n: int) -> Executor:
    """An executor of ``n`` processes that share the cores between them."""
    threads = str(max(1, (os.cpu_count() or 1) // n))
    return get_reusable_executor(n, env=dict.fromkeys(THREADS, threads))


def one_per_gpu() -> Executor:
    """An executor of one process for each GPU that this process may use."""

    def start(env: dict[str, str]) -> Executor:
        return ProcessPoolExecutor(1, env=env)

    return OnePerGPU(start, visible_gpus())
