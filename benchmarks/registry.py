"""What a benchmark is: suites of cases, each solved by several contenders.

A suite registers itself with ``@suite``; the harness (``runner.py``) does the rest: it
refuses a wrong result, times the contenders in turn, and writes one line for each.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .memory import rise
from .timing import Sample, measure


class Run(ABC):
    """One contender, set up for one case.

    Attributes:
        amount: units of work (``Case.unit``) that one timed call does.
        facts: what goes into the line besides the timings: block sizes, plan, ...
    """

    amount: int = 1
    facts: dict[str, Any]

    @abstractmethod
    def value(self) -> np.ndarray:
        """The part of the timed result that is compared with ``Case.reference``."""

    @abstractmethod
    def sample(self) -> Sample:
        """Seconds of one call; the first ``value()`` has warmed everything up."""

    def once(self) -> Any:
        """One call, whose result is returned."""
        raise NotImplementedError(f"{type(self).__name__} does no single call")

    def warm(self) -> None:  # noqa: B027
        """Load and compile all code on a problem of negligible size."""

    def peak_bytes(self) -> int:
        """Memory of a call beyond inputs and result.

        Ours is asked first thing in a fresh process (``probe.py``); a peer starts a
        fresh worker itself.
        """
        self.warm()
        return rise(self.once)

    def first_call(self) -> float:
        """Seconds of the first call in a fresh process, as ``peak_bytes``."""
        return measure(self.once).wall

    def close(self) -> None:  # noqa: B027
        """Let go of what the run holds."""


@dataclass(frozen=True)
class Contender:
    """One way of solving a case.

    Args:
        start: sets it up; the inputs are made here, not in the timed call.
        tolerance: largest relative error that may be timed; None for the case's.
        peer: another library, in an environment of its own (left out by --no-peer).
        memory: whether peak memory is measured, in a fresh process.
        startup: whether the first call is timed with empty and with filled caches.
    """

    start: Callable[[], Run]
    tolerance: float | None = None
    peer: bool = False
    memory: bool = False
    startup: bool = False


@dataclass(frozen=True)
class Case:
    """One problem.

    Args:
        name: path-like, e.g. "myrtle5-gap/32"; what --filter matches.
        reference: the right values, in float64; computed before anything is timed.
        reference_name: who computed them.
        contenders: by name, in the order of the table's columns.
        tolerance: largest relative error (in the maximum norm) that may be timed.
        unit: what ``Run.amount`` counts, e.g. "pair".
        problem: goes into every line: network, shapes, dtype, ...
        quick: whether --quick runs it.
        long: whether it takes many minutes, and only --long runs it.
        confirm: the reference once more, by a peer, in float64.
        device: where it runs.
        repeats: samples of each contender at most; None for what was asked for.
    """

    name: str
    reference: Callable[[], np.ndarray]
    reference_name: str
    contenders: Mapping[str, Contender]
    tolerance: float
    unit: str
    problem: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False
    long: bool = False
    confirm: Callable[[], np.ndarray] | None = None
    device: str = "cpu"
    repeats: int | None = None


@dataclass(frozen=True)
class Suite:
    """A named list of cases and the table that its lines make."""

    name: str
    title: str
    cases: Callable[[], Iterable[Case]]
    table: Callable[[list[dict[str, Any]]], str]

    def select(
        self, pattern: str | None = None, quick: bool = False, long: bool = False
    ) -> list[Case]:
        """The cases whose name matches ``pattern`` (a substring or a glob).

        Args:
            pattern: None for all.
            quick: the small ones only.
            long: those that take many minutes too.
        """
        found = [
            case
            for case in self.cases()
            if (case.quick or not quick)
            and (long or not case.long)
            and (not pattern or fnmatchcase(case.name, f"*{pattern}*"))
        ]
        if not found:
            raise ValueError(
                f"--filter {pattern!r} matches no case of {self.name!r}; "
                f"`python -m benchmarks {self.name} --long --list` lists them"
            )
        return found

    def case(self, name: str) -> Case:
        """The case of exactly this name."""
        return next(case for case in self.cases() if case.name == name)


SUITES: dict[str, Suite] = {}


def suite(
    name: str, title: str, table: Callable[[list[dict[str, Any]]], str]
) -> Callable[[Callable[[], Iterable[Case]]], Callable[[], Iterable[Case]]]:
    """Decorator: register the function that lists a suite's cases."""

    def register(cases: Callable[[], Iterable[Case]]) -> Callable[[], Iterable[Case]]:
        SUITES[name] = Suite(name, title, cases, table)
        return cases

    return register
