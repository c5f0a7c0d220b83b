"""One process for each GPU of this machine."""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    No CUDA library is initialised for that: it would take memory of every GPU.
    """
    named = os.environ.get(VISIBLE)
    if named is not None:
        devices = [one.strip() for one in named.split(",")]
        # As CUDA does: what follows an invalid entry is invisible.
        end = next((i for i, d in enumerate(devices) if d in ("", "-1")), len(devices))
        return devices[:end]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))]


class OnePerGPU(Executor):
    """An executor with one process for each GPU, of which it sees no other.

    A task goes to the process with the fewest tasks waiting. A process that was
    restarted has the same GPU as before.

    Args:
        start: makes an executor of one process with these environment variables.
        devices: as in CUDA_VISIBLE_DEVICES.
    """

    def __init__(
        self, start: Callable[[dict[str, str]], Executor], devices: Sequence[str]
    ) -> None:
        if not devices:
            raise ValueError(
                "executor is 'gpu', but no GPU is visible: CUDA_VISIBLE_DEVICES is "
                f"{os.environ.get(VISIBLE)!r} and nvidia-smi was asked if it is None; "
                "use a number of processes instead"
            )
        self._pools = [start({VISIBLE: device}) for device in devices]
        self._waiting: list[set[Future]] = [set() for _ in devices]
        self._max_workers = len(devices)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        for waiting in self._waiting:
            waiting -= {future for future in waiting if future.done()}
        least = min(range(len(self._pools)), key=lambda i: len(self._waiting[i]))
        future = self._pools[least].submit(function, *args, **kwargs)
        self._waiting[least].add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for waiting in self._waiting if cancel_futures else ():
            for future in waiting:
                future.cancel()
        for pool in self._pools:
            pool.shutdown(wait=wait)
