"""Peak memory of one call, as the operating system saw it.

Meant for a fresh process: what an earlier call freed may still belong to the process,
and would be taken again without a trace.
"""

import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")


def rise(call: Callable[[], Any]) -> int:
    """Bytes by which the resident peak rises during ``call``, less its result's bytes.

    Inputs are not counted either, as they are there before. The resolution is a few
    hundred kilobytes: touched pages of code and the allocator's slack count.
    """
    _reset_peak()
    before = _resident()
    result = call()
    return max(0, peak() - before - nbytes(result))


def nbytes(result: Any) -> int:
    """Bytes of an array or of all the arrays in a tuple."""
    size = getattr(result, "nbytes", None)
    if isinstance(size, int):
        return size
    return sum(map(nbytes, result)) if isinstance(result, Iterable) else 0


def _reset_peak() -> None:
    """Set VmHWM back to what is resident now, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _resident() -> int:
    """Resident bytes now; where unknown the peak so far, so a rise is a lower bound."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """The most that was resident so far, since the last reset."""
    kilobytes = _status("VmHWM")
    if kilobytes:
        return kilobytes
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key: str) -> int:
    """An entry of /proc/self/status in bytes; 0 where there is none."""
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0
