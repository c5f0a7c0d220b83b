"""Processes of this machine, kept warm by loky."""

from concurrent.futures import Executor

from loky import ProcessPoolExecutor, get_reusable_executor

from .gpus import OnePerGPU, visible_gpus
from .threads import shared_between


def processes(n: int) -> Executor:
    """An executor of ``n`` processes that share the cores between them."""
    return get_reusable_executor(n, env=shared_between(n))


def one_per_gpu() -> Executor:
    """An executor of one process for each GPU that this process may use."""

    def start(env: dict[str, str]) -> Executor:
        return ProcessPoolExecutor(1, env=env)

    return OnePerGPU(start, visible_gpus())
