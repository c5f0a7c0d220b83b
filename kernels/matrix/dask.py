"""Dask distributed: tiles on a cluster that replaces lost workers by itself."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from ..cores import usable_cores
from .execution import WorkersLostError
from .threads import shared_between

# A wrong address should be noticed while its typist still looks.
SECONDS = 15


class DaskExecutor(Executor):
    """The executor of a client of Dask distributed.

    Args:
        client: connected to a scheduler.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def _max_workers(self) -> int:
        """Tasks that run at a time, now: workers may come and go."""
        return max(1, sum(self.client.nthreads().values()))

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self.client.status != "running":
            raise WorkersLostError(
                f"the Dask scheduler is gone (its client is {self.client.status}); "
                "start it again, then run the same again: tiles in a store are kept"
            )
        # Inputs travel with a task where no disk is shared, and are meant to.
        with dask.config.set(
            {"distributed.admin.large-graph-warning-threshold": "1TB"}
        ):
            return _Future(self.client.submit(function, *args, **kwargs, pure=False))


class _Future:
    """A future of Dask, whose errors say what to do."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def result(self) -> Any:
        try:
            return self._future.result()
        except KilledWorker as error:
            raise WorkersLostError(
                f"a tile killed its worker several times: {error}. Give workers more "
                "memory, or pass a smaller tile; tiles in a store are kept"
            ) from error
        except CommClosedError as error:
            raise WorkersLostError(
                f"the connection to the Dask scheduler broke ({error}); start it "
                "again, then run the same again: tiles in a store are kept"
            ) from error

    def cancel(self) -> None:
        self._future.cancel()


@contextmanager
def local_cluster(workers: int | None = None) -> Iterator[LocalCluster]:
    """Processes of one thread each on this machine, as many as cores if None is said.

    The variables that Dask sets for them in this process, and leaves there, are taken
    back: OMP_NUM_THREADS=1 would hold all later kernels of this process to one core.
    """
    names = {*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED"}
    before = {name: os.environ.get(name) for name in names}
    try:
        with LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            # Any port: the usual one is taken if there is another cluster.
            dashboard_address=":0",
            env=shared_between(usable_cores()),
        ) as local:
            _set_environment(before)
            yield local
    finally:
        # Workers that were replaced have set them again.
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """An executor for the scheduler at ``address``, or for a new cluster of processes
    on this machine if it is "dask".

    Raises:
        ConnectionError: nobody answers there.
    """
    if address == "dask":
        with local_cluster() as local, Client(local) as client:
            yield DaskExecutor(client)
        return
    try:
        client = Client(address, timeout=SECONDS)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"executor: no Dask scheduler answered at {address!r} within {SECONDS} s "
            f"({error}); start one with `dask scheduler`, which prints its address"
        ) from error
    with client:
        yield DaskExecutor(client)
