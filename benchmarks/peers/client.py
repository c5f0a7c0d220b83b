"""A peer: another library in a process and an environment of its own.

Requests and answers are JSON lines over pipes, arrays are .npy files in a temporary
directory. The process stays alive, so that its compiled code does too.
"""

import atexit
import json
import os
import select
import subprocess
import tempfile
import time
from collections import deque
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
WORKER = "benchmarks.peers.worker"


class PeerMissing(RuntimeError):
    """The peers' environment is not there."""


class PeerError(RuntimeError):
    """The peer failed, died or took too long."""


class Peer:
    """A running worker. Use it as a context manager, or close it.

    Args:
        python: interpreter of the peers' environment.
        timeout: seconds that one request may take.
    """

    def __init__(self, python: Path = PYTHON, timeout: float = 300.0) -> None:
        if not python.exists():
            raise PeerMissing(
                f"no environment with the other libraries at {python.parent.parent}; "
                "make it with `make peers`, or leave them out with --no-peer"
            )
        self.timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="tangency-peer-")
        self._log = open(Path(self._folder.name) / "log.txt", "w+")
        self._files = 0
        self._rest = b""
        self._process = subprocess.Popen(
            [str(python), "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=_environment(),
        )

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one request; the operations are in ``worker.py``.

        Raises:
            PeerError: the operation failed; the message has the peer's own error.
        """
        message = json.dumps({"op": op, **arguments}).encode() + b"\n"
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(f"peer is gone before {op!r}:\n{self._tail()}") from None
        answer = json.loads(self._line(op))
        if "error" in answer:
            raise PeerError(f"peer failed in {op!r}: {answer['error']}")
        return answer

    def save(self, array: np.ndarray) -> str:
        """Write an array where the worker can read it; returns the path."""
        path = self.path()
        np.save(path, array, allow_pickle=False)
        return str(path)

    def load(self, path: str) -> np.ndarray:
        """Read and remove an array that the worker wrote."""
        array = np.load(path, allow_pickle=False)
        Path(path).unlink()
        return array

    def close(self) -> None:
        """Stop the worker and remove its files."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()

    def path(self) -> Path:
        """A new file name for an array."""
        self._files += 1
        return Path(self._folder.name) / f"array-{self._files}.npy"

    def _line(self, op: str) -> bytes:
        """The next line of the worker, waited for until the time-out."""
        end = time.monotonic() + self.timeout
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select(
                [pipe], [], [], max(0.0, end - time.monotonic())
            )
            if not ready:
                self._process.kill()
                raise PeerError(f"peer took more than {self.timeout:g} s for {op!r}")
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                raise PeerError(f"peer died during {op!r}:\n{self._tail()}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _tail(self) -> str:
        self._log.flush()
        text = Path(self._log.name).read_text(errors="replace")
        return "\n".join(deque(text.splitlines(), maxlen=20))


@cache
def shared() -> Peer:
    """The worker that all runs of this process use; stopped at exit."""
    peer = Peer()
    atexit.register(peer.close)
    return peer


def _environment() -> dict[str, str]:
    """Ours, less what points at our packages or holds the peer's threads back."""
    foreign = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "XLA_FLAGS",
        "OMP_NUM_THREADS",
    )
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**kept, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
