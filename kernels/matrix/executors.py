"""Where tiles run: what may be given as ``executor``."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any


@contextmanager
def opened(executor: Any) -> Iterator[Executor | None]:
    """The executor that is meant, closed at the end if it was made here.

    Args:
        executor: None for this thread; a number of processes on this machine (loky),
            or "gpu" for one for each of its GPUs; an address such as "tcp://host:8786"
            of a Dask scheduler, or "dask" for a Dask cluster on this machine; or any
            ``concurrent.futures.Executor``.

    Raises:
        TypeError, ValueError: it is none of these.
        ModuleNotFoundError: what it needs is not installed.
        ConnectionError: no scheduler answers at the address.
    """
    if executor is None or isinstance(executor, int) and not isinstance(executor, bool):
        yield _processes(executor)
    elif executor == "gpu":
        with _loky("executor='gpu'").one_per_gpu() as workers:
            yield workers
    elif isinstance(executor, str):
        if executor != "dask" and "://" not in executor:
            raise ValueError(
                f"executor is {executor!r}, expected 'dask', 'gpu' or the address of "
                "a Dask scheduler such as 'tcp://host:8786'"
            )
        with _dask().cluster(executor) as cluster:
            yield cluster
    elif type(executor).__module__.startswith("distributed."):
        yield _dask().DaskExecutor(executor._client)
    elif callable(getattr(executor, "submit", None)):
        yield executor
    else:
        raise TypeError(
            f"executor is a {type(executor).__name__}, expected None, a number of "
            "processes, the address of a Dask scheduler, or a "
            "concurrent.futures.Executor"
        )


def _processes(n: int | None) -> Executor | None:
    if n is not None and n < 1:
        raise ValueError(f"executor is {n}, expected a number of processes >= 1")
    if n in (None, 1):
        return None
    return _loky("a number of processes").processes(n)


def _loky(what: str) -> Any:
    try:
        from . import loky
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs loky: pip install 'tangency[loky]'; or pass "
            "executor=concurrent.futures.ProcessPoolExecutor(n)",
            name=error.name,
        ) from error
    return loky


def _dask() -> Any:
    try:
        from . import dask
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a Dask scheduler needs distributed: pip install 'tangency[dask]'",
            name=error.name,
        ) from error
    return dask
