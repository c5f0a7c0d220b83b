"""Files that are whole or not there."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

SUFFIX = ".part"


@contextmanager
def written_whole(out: Path) -> Iterator[Any]:
    """A file that appears under its name only once it is complete.

    It is written beside its place under a temporary name, flushed to disk and renamed.
    After an error or an interrupt nothing is left, and what was there before stays.
    """
    host = socket.gethostname()
    temporary = out.with_name(
        f".{out.name}.{host}.{os.getpid()}.{uuid4().hex[:8]}{SUFFIX}"
    )
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in ``folder``."""
    for path in folder.glob(f".*{SUFFIX}"):
        *_, host, pid, _, _ = path.name.rsplit(".", 4)
        if host == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                path.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
