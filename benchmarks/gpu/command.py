"""python -m benchmarks gpu: everything there is to say about one GPU, in 9 minutes."""

import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..machine import ROOT, commit, load, machine, versions
from ..results import DIRECTORY

# Seconds of the whole run. A case that would begin later is recorded as left out.
LIMIT = 520
# Of a dry case, on a machine that may be busy.
DRY_LIMIT = 200


def add_parser(commands: Any) -> None:
    """Add the command to those of ``python -m benchmarks``."""
    parser: ArgumentParser = commands.add_parser(
        "gpu", help="exact kernels on a GPU: one run of less than 9 minutes"
    )
    parser.add_argument("--dry", action="store_true", help="tiny cases on the CPU")
    parser.add_argument("--filter", help="cases whose name has this in it, or a glob")
    parser.add_argument("--list", action="store_true", help="list the cases only")
    parser.add_argument(
        "--out", type=Path, help="file of lines (benchmarks/results/gpu.jsonl)"
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """The exit status: 0, or 1 if a case failed, 2 without a GPU."""
    from .cases import cases

    pattern = f"*{arguments.filter or ''}*"
    chosen = [case for case in cases() if fnmatchcase(case.name, pattern)]
    if not chosen:
        raise SystemExit(f"gpu: --filter {arguments.filter!r} matches no case")
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return 0
    if not arguments.dry and (reason := why_not()):
        print(f"gpu: {reason}; nothing was measured", file=sys.stderr)
        return 2
    if arguments.dry and not arguments.out:
        raise SystemExit("gpu: --dry needs --out, its lines are no results")
    path = arguments.out or DIRECTORY / "gpu.jsonl"
    end, failed = time.monotonic() + LIMIT, 0
    for case in chosen:
        limit = DRY_LIMIT if arguments.dry else case.seconds
        left = min(limit, end - time.monotonic())
        found = in_process(case.name, left, arguments.dry)
        failed += "error" in found
        with path.open("a") as file:
            file.write(json.dumps({**circumstances(case, arguments), **found}) + "\n")
        print(f"{case.name}: {sentence(found)}", flush=True)
    return 1 if failed else 0


def why_not() -> str | None:
    """Why nothing can be measured here; None where it can."""
    if find_spec("torch") is None:
        return "torch is not installed"
    import torch

    if not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} sees no GPU here (torch.cuda.is_available() is "
            "False); --dry runs tiny cases on the CPU"
        )
    return None


def in_process(name: str, seconds: float, dry: bool) -> dict[str, Any]:
    """The numbers of a case by its own process; or what went wrong."""
    if seconds < 1:
        return {"error": f"left out: the run has a limit of {LIMIT} s"}
    command = [sys.executable, "-m", "benchmarks.gpu.worker", name]
    try:
        ran = subprocess.run(
            command + ["--dry"] * dry,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        return json.loads(ran.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {seconds:.0f} s"}
    except (IndexError, json.JSONDecodeError):
        return {"error": f"died with status {ran.returncode}: {ran.stderr[-500:]}"}


def circumstances(case: Any, arguments: Namespace) -> dict[str, Any]:
    """What a line says of its case and of the machine."""
    return {
        "schema": 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": "gpu",
        "case": case.name,
        "contender": case.contender,
        "dry": arguments.dry,
        **commit(),
        "machine": machine(),
        "load": load(),
        "versions": versions(),
        "problem": {"n": case.n, "shape": list(case.shape), "dtype": "float32"},
    }


def sentence(found: dict[str, Any]) -> str:
    """A line for the terminal."""
    if "error" in found:
        return f"FAILED: {found['error']}"
    share = found["percent_of_float32_peak"]
    peak = "" if share is None else f", {share:.1f} % of the float32 peak"
    return f"{found['pairs_per_s']:.3g} pairs/s{peak}"
