"""Runs that are a call of a function with a folder, and the workers it may use."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tangency.kernels.matrix.threads import VARIABLES

from .registry import Run
from .timing import Sample, measure


class CallRun(Run):
    """A call that returns an array; the folder that it is given is emptied before.

    Args:
        call: takes the folder and, if there are ``workers``, an executor.
        workers: opens what goes to ``executor``, before anything is timed.
        keep: whether the folder keeps what earlier calls left.
        facts: for the line.
    """

    def __init__(
        self,
        call: Callable[..., np.ndarray],
        workers: Callable[[], AbstractContextManager[Any]] | None = None,
        keep: bool = False,
        **facts: Any,
    ) -> None:
        self.call, self.keep, self.facts = call, keep, facts
        self.folder = Path(tempfile.mkdtemp(".benchmark"))
        self.open, self.options = ExitStack(), {}
        if workers is not None:
            self.options = {"executor": self.open.enter_context(workers())}

    def once(self) -> np.ndarray:
        if not self.keep:
            shutil.rmtree(self.folder)
            self.folder.mkdir()
        return self.call(self.folder, **self.options)

    def value(self) -> np.ndarray:
        return np.asarray(self.once())

    def sample(self) -> Sample:
        return measure(self.once)

    def close(self) -> None:
        self.open.close()
        shutil.rmtree(self.folder)


class OnceRun(Run):
    """A call of minutes, which is made once: the result that is checked is the one that
    was timed.

    Args:
        call: the result, and facts for the line.
    """

    def __init__(self, call: Callable[[], tuple[np.ndarray, dict[str, Any]]]) -> None:
        self.call, self.facts, self.timed = call, {}, None

    def value(self) -> np.ndarray:
        found = []
        self.timed = measure(lambda: found.append(self.call()))
        value, self.facts = found[0]
        return value

    def sample(self) -> Sample:
        return self.timed


@contextmanager
def processes(n: int) -> Iterator[Any]:
    """``n`` processes of this machine, each with one thread."""
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(n, env=dict.fromkeys(VARIABLES, "1")) as executor:
        yield executor


@contextmanager
def dask_cluster(n: int) -> Iterator[str]:
    """The address of a Dask cluster of ``n`` such processes."""
    from tangency.kernels.matrix.dask import local_cluster

    with local_cluster(n) as cluster:
        yield cluster.scheduler_address
