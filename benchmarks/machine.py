"""Where a number was measured: machine, versions, threads, commit, command."""

import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = (
    *("numpy", "scipy", "numba", "llvmlite", "array-api-compat"),
    *("jax", "torch", "triton"),
)
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "XLA_FLAGS",
)
# What a reader needs to know about a CPU's vectors; the whole list is a page.
VECTOR_FLAGS = re.compile(r"^(sse4_2|avx|avx2|fma|f16c|avx512.*|amx.*|asimd|sve2?)$")


@cache
def machine() -> dict[str, Any]:
    """CPU model, cores this process may use, vector extensions, memory, system."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "family": "/".join(
            info.get(k, "?") for k in ("cpu family", "model", "stepping")
        ),
        "cores": usable_cores(),
        "flags": [flag for flag in flags if VECTOR_FLAGS.match(flag)],
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "system": f"{platform.system()} {platform.release()}",
    }


@cache
def versions() -> dict[str, str]:
    """Versions of Python, this library and what it computes with."""
    found = {"python": platform.python_version()}
    for name in ("tangency", *LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def threads() -> dict[str, Any]:
    """Threads in use, and the environment variables that change them.

    Numba is asked only if something has imported it; its layer is known after the
    first parallel call.
    """
    found: dict[str, Any] = {
        name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
    }
    numba = sys.modules.get("numba")
    if numba is not None and hasattr(numba, "get_num_threads"):
        found["numba"] = numba.get_num_threads()
        try:
            found["numba_layer"] = numba.threading_layer()
        except ValueError:
            found["numba_layer"] = "not started"
    return found


@cache
def commit() -> dict[str, Any]:
    """The commit, and whether the tracked files differ from it (results aside)."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        edited = [
            line for line in changed.splitlines() if "benchmarks/results/" not in line
        ]
        return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(edited)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": True}


def usable_cores() -> int:
    """Cores that the scheduler lets this process use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float:
    """Processes that wanted a core during the last minute, ours included."""
    return round(os.getloadavg()[0], 2)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.rstrip()


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
