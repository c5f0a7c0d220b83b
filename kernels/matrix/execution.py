"""Running tasks one after the other, or on any executor, with few in flight."""

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from concurrent.futures import ThreadPoolExecutor as Threads
from typing import Any
from uuid import uuid4

from ..cores import usable_cores

# Enough tasks in flight to keep workers busy, few enough to keep memory flat.
IN_FLIGHT = 2 * usable_cores()
# Jobs that a worker keeps: those of the computations that run at the same time.
KEPT = 4
_jobs: dict[str, Any] = {}


class WorkersLostError(RuntimeError):
    """The workers of an executor died, or could not be reached any more."""


def run_tasks(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    executor: Executor | None = None,
    in_flight: int = IN_FLIGHT,
) -> Iterator[Any]:
    """``function(*task)`` for every task, in order.

    Args:
        function: what to run; an executor of processes must be able to pickle it.
        tasks: its arguments; they are drawn only when there is room for another task.
        executor: threads, processes or a cluster's; None for this thread.
        in_flight: largest number of tasks that were submitted and not yet taken.
    """
    if executor is None:
        for task in tasks:
            yield function(*task)
        return
    pending: deque[Any] = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(function, *task))
            if len(pending) >= in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def run_job(
    function: Callable[..., Any],
    job: Any,
    tasks: Iterable[tuple[Any, ...]],
    executor: Executor | None = None,
) -> Iterator[Any]:
    """``function(job, *task)`` for every task, in order; workers keep the job.

    A worker that does not have the job says so, and is sent it. So it travels about
    once per worker whatever the executor, and workers may come and go.

    Raises:
        WorkersLostError: the executor is broken; which tasks are done is unknown.
    """
    if executor is None or isinstance(executor, Threads):
        yield from run_tasks(function, ((job, *task) for task in tasks), executor)
        return
    key, payload = uuid4().hex, _pickled(job)
    workers = getattr(executor, "_max_workers", None) or IN_FLIGHT // 2

    def submissions() -> Iterator[tuple[Any, ...]]:
        for count, task in enumerate(tasks):
            # Each worker will likely take one of the first.
            drawn.append(task)
            yield key, payload if count < workers else None, function, task

    drawn: deque[Any] = deque()
    try:
        for result in run_tasks(_with_job, submissions(), executor, 2 * workers):
            task = drawn.popleft()
            while isinstance(result, _Unknown):
                again = executor.submit(_with_job, key, payload, function, task)
                result = again.result()
            yield result
    except (BrokenExecutor, CancelledError) as error:
        raise WorkersLostError(
            f"the workers were lost ({type(error).__name__}: {error}): killed, out of "
            "memory, or cut off. Tiles in a store are kept: run the same again to go "
            "on from there"
        ) from error


class _Unknown:
    """A worker's answer that it was never sent the job."""


def _with_job(
    key: str,
    payload: bytes | None,
    function: Callable[..., Any],
    task: tuple[Any, ...],
) -> Any:
    """Run in the worker."""
    if key not in _jobs:
        if payload is None:
            return _Unknown()
        for old in list(_jobs)[: len(_jobs) + 1 - KEPT]:
            _jobs.pop(old, None)
        _jobs[key] = pickle.loads(payload)
    return function(_jobs[key], *task)


def _pickled(job: Any) -> bytes:
    try:
        return pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        try:
            import cloudpickle
        except ImportError:
            raise TypeError(
                f"kernel cannot be sent to another process: {error}; define it in a "
                "module, or install cloudpickle"
            ) from error
        return cloudpickle.dumps(job)
