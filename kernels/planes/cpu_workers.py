"""Threads that share a list of jobs.

Numba's own threading layers are not used: OpenMP was seen keeping two threads on one
core, and none of them may be entered from several Python threads. Compiled tiles do not
hold the interpreter, so plain threads keep every core busy.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from ..cores import usable_cores


def default_threads() -> int:
    """NUMBA_NUM_THREADS, OMP_NUM_THREADS, or the cores this process may use."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return usable_cores()


def share(jobs: Iterable[Any], worker: Callable[[Iterable[Any]], None], threads: int):
    """Run ``worker(jobs)`` in every thread; each job goes to one of them.

    An exception, or Ctrl-C, lets every worker finish the job in hand and no more.
    """
    pending = list(jobs)[::-1]

    def take() -> Iterable[Any]:
        while True:
            try:
                yield pending.pop()  # atomic
            except IndexError:
                return

    threads = min(threads, len(pending))
    if threads <= 1:
        worker(take())
        return
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(worker, take()) for _ in range(threads)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pending.clear()
        for future in futures:
            future.result()
