"""Computing what a store does not have yet."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from .evaluation import Job, keep, missing_of, tile_of, write_tile_of
from .execution import run_job
from .executors import opened
from .progress import progress_bar
from .store import Store

# Executors of this machine, whose workers see its disk.
HERE = (int, ThreadPoolExecutor, ProcessPoolExecutor)
# Names of the kernels that are missing, and the place (i, j) of the tile.
Task = tuple[tuple[str, ...], int, int]


def fill(
    store: Store,
    job: Job,
    executor: Any = None,
    workers_write: bool | None = None,
    progress: bool = False,
) -> None:
    """Compute all tiles that are missing from ``store`` or are not whole.

    Args:
        store: where they go.
        job: what computes them.
        executor, workers_write, progress: as in ``compute``.
    """
    todo = _missing(store)
    if not todo:
        return
    if job.x1 is None:
        store.check_inputs()
    if workers_write is None:
        workers_write = isinstance(executor, HERE) or executor in (None, "dask", "gpu")
    label = " and ".join(store.manifest.names)
    with (
        opened(executor) as workers,
        progress_bar(len(todo), label, "tile", progress) as advance,
    ):
        if workers is None:
            done: Iterator[Any] = _written_behind(store, job, todo)
        elif workers_write:
            done = run_job(write_tile_of, job, todo, workers)
        else:
            done = _taken_home(store, job, todo, workers)
        for _ in done:
            advance(1)


def _missing(store: Store) -> list[Task]:
    """All tiles are read for that: a damaged one would be a wrong number."""
    faulty = (
        (tuple(n for n in store.manifest.names if store.fault(n, i, j)), i, j)
        for i, j in store.positions()
    )
    return [task for task in faulty if task[0]]


def _written_behind(store: Store, job: Job, todo: list[Task]) -> Iterator[None]:
    """Compute tiles in this thread, while another writes the one before.

    After an error or Ctrl-C, the tile that is being written still is.
    """
    with ThreadPoolExecutor(1) as writer:
        writing = None
        for names, i, j in todo:
            found = missing_of(job, names, i, j)
            if writing is not None:
                writing.result()
                yield
            writing = writer.submit(keep, store, found, i, j)
        if writing is not None:
            writing.result()
            yield


def _taken_home(
    store: Store, job: Job, todo: list[Task], workers: Any
) -> Iterator[None]:
    """Write what workers return, who may not see our disk: the inputs travel too."""
    x1, x2 = job.inputs()
    tasks = ((names, store.rows(i), store.columns(j)) for names, i, j in todo)
    results = run_job(tile_of, Job(job.kernel, x1, x2), tasks, workers)
    for (_, i, j), found in zip(todo, results, strict=True):
        keep(store, found, i, j)
        yield
