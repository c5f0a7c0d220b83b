"""What only a fresh process can say: peak memory, and the time of a first call.

python -m benchmarks.probe memory cntk kip-convnet/32 planes
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from .machine import ROOT
from .registry import SUITES

PROBES = ("memory", "first_call")


def peak_bytes(suite: str, case: str, contender: str) -> int:
    """Memory of a call beyond inputs and result, in a process of its own."""
    return int(_probe("memory", suite, case, contender, {})["value"])


def startup(suite: str, case: str, contender: str) -> dict[str, float]:
    """Seconds of the first call with an empty code cache, and in the process after it.

    ``process_s`` also counts starting the interpreter and importing everything.
    """
    with tempfile.TemporaryDirectory(prefix="tangency-cache-") as folder:
        caches = {"NUMBA_CACHE_DIR": folder, "XDG_CACHE_HOME": folder}
        first = _probe("first_call", suite, case, contender, caches)
        later = _probe("first_call", suite, case, contender, caches)
    return {
        "first_call_s": first["value"],
        "next_process_first_call_s": later["value"],
        "next_process_s": later["process_s"],
    }


def _probe(
    kind: str, suite: str, case: str, contender: str, extra: Mapping[str, str]
) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.probe", kind, suite, case, contender]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **extra}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "process_s": seconds}


def main(kind: str, suite: str, case: str, contender: str) -> None:
    """The child's side."""
    from . import suites  # noqa: F401  (registers them)

    run = SUITES[suite].case(case).contenders[contender].start()
    value = run.peak_bytes() if kind == "memory" else run.first_call()
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
