"""Running tiles one after the other, or on any executor."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

# Enough tasks in flight to keep workers busy, few enough to keep memory flat.
IN_FLIGHT = 2 * (os.cpu_count() or 1)


def run_tasks(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    executor: Executor | None = None,
) -> Iterator[Any]:
    """``function(*task)`` for every task, in order.

    Args:
        function: what to run; an executor of processes must be able to pickle it.
        tasks: its arguments; they are drawn only when there is room for another task.
        executor: threads, processes or a cluster's; None for this thread.
    """
    if executor is None:
        for task in tasks:
            yield function(*task)
        return
    pending: deque[Any] = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(function, *task))
            if len(pending) >= IN_FLIGHT:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
