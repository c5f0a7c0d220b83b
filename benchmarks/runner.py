"""Runs a case: gate, then timings in turn, then fresh processes; a line for each."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from . import probe
from .gate import Verdict, WrongResult, check
from .machine import commit, load, machine, threads, versions
from .peers.client import PeerError, PeerMissing
from .registry import Case, Contender, Run
from .results import SCHEMA, Line
from .timing import Sample, interleave, quantiles

# Two float64 computations of one kernel differ by rounding: up to 1e-9 after a dozen
# layers, as the angle of nearly equal inputs is ill-conditioned.
CONFIRM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Args:
        repeats: rounds of one sample for each contender.
        peers: whether other libraries take part.
        probes: whether memory and first calls are measured, in fresh processes.
        command: the command line, for the lines.
    """

    repeats: int = 5
    peers: bool = True
    probes: bool = True
    command: str = ""


class Failure(Exception):
    """Something of a case was not measured; the message says what and why."""


def new_run() -> str:
    """A name for this run: UTC time and process."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"


def run_case(
    suite: str, case: Case, options: Options, run_id: str, say: Callable[[str], None]
) -> Iterator[Line]:
    """Measure the contenders of one case; yields their lines.

    Raises:
        Failure: after the lines of the others, if a contender was refused or broke.
    """
    failures: list[str] = []
    most = case.repeats or options.repeats
    options = replace(options, repeats=min(options.repeats, most))
    reference = case.reference()
    confirmed = _confirm(case, reference, options)
    started: list[Run] = []
    ready: dict[str, tuple[Contender, Run, Verdict]] = {}
    try:
        for name, contender in case.contenders.items():
            if contender.peer and not options.peers:
                continue
            with _collect(failures, f"{case.name}, {name}"):
                run = contender.start()
                started.append(run)
                ready[name] = contender, run, _judge(case, contender, run, reference)
        samplers = {name: run.sample for name, (_, run, _) in ready.items()}
        taken = interleave(samplers, options.repeats)
        for name, (contender, run, verdict) in ready.items():
            with _collect(failures, f"{case.name}, {name}"):
                probed = _probes(suite, case, name, contender, run, options)
                say(_sentence(name, run, case, taken[name], verdict))
                yield {
                    **_circumstances(suite, case, options, run_id),
                    "contender": name,
                    "peer": contender.peer,
                    **_seconds(taken[name], run.amount),
                    "amount": run.amount,
                    "peak_bytes": probed.pop("peak_bytes", None),
                    "gate": {**asdict(verdict), "confirmed": confirmed},
                    "facts": {**run.facts, **probed},
                }
    finally:
        for run in started:
            run.close()
    if failures:
        raise Failure("\n".join(failures))


class _collect:
    """Context: an error becomes an entry in ``failures``, so that the others go on."""

    def __init__(self, failures: list[str], who: str) -> None:
        self.failures, self.who = failures, who

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.failures.append(f"{self.who}: {type(error).__name__}: {error}")
        return True


def _judge(
    case: Case, contender: Contender, run: Run, reference: np.ndarray
) -> Verdict:
    tolerance = contender.tolerance or case.tolerance
    return check(run.value(), reference, tolerance, case.reference_name)


def _confirm(case: Case, reference: np.ndarray, options: Options) -> Any:
    """The verdict of a second, independent reference on the first."""
    if case.confirm is None or not options.peers:
        return None
    try:
        found = check(reference, case.confirm(), CONFIRM_TOLERANCE, "peer in float64")
    except (WrongResult, PeerError, PeerMissing) as error:
        who = f"{case.name}, {case.reference_name}"
        raise Failure(f"{who}: {type(error).__name__}: {error}") from None
    return asdict(found)


def _probes(
    suite: str, case: Case, name: str, contender: Contender, run: Run, options: Options
) -> dict[str, Any]:
    """Peak memory and first calls, where the contender wants them."""
    found: dict[str, Any] = {}
    if not options.probes:
        return found
    if contender.memory:
        found["peak_bytes"] = (
            run.peak_bytes()
            if contender.peer
            else probe.peak_bytes(suite, case.name, name)
        )
    if contender.startup:
        found |= (
            {"first_call_s": run.first_call()}
            if contender.peer
            else probe.startup(suite, case.name, name)
        )
    return found


def _circumstances(
    suite: str, case: Case, options: Options, run_id: str
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run_id,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": suite,
        "case": case.name,
        "command": options.command,
        **commit(),
        "machine": machine(),
        "load": load(),
        "versions": versions(),
        "threads": threads(),
        "device": case.device,
        "problem": dict(case.problem),
        "unit": case.unit,
        "repeats": options.repeats,
    }


def _seconds(samples: list[Sample], amount: int) -> dict[str, Any]:
    wall = quantiles([s.wall for s in samples])
    return {
        "wall_s": wall,
        "cpu_s": quantiles([s.cpu for s in samples]),
        "unit_s": wall["p50"] / amount,
    }


def _sentence(
    name: str, run: Run, case: Case, samples: list[Sample], verdict: Verdict
) -> str:
    seconds = _seconds(samples, run.amount)
    return (
        f"  {name}: {seconds['unit_s'] * 1e3:.4g} ms per {case.unit} "
        f"({seconds['cpu_s']['p50'] / run.amount * 1e3:.4g} ms CPU), "
        f"error {verdict.error:.1e}"
    )


def to_stderr(text: str) -> None:
    """Progress goes to standard error; standard output has the table alone."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
