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
    temporary = temporary_beside(out)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def created(out: Path, content: bytes) -> bool:
    """Write a file that is not there, whole; False if another process was faster."""
    temporary = temporary_beside(out)
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails where the name is taken.
        os.link(temporary, out)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def temporary_beside(out: Path) -> Path:
    """A name beside ``out`` that says who uses it, for ``sweep``."""
    who = f"{_host()}.{os.getpid()}.{uuid4().hex[:8]}"
    return out.with_name(f".{out.name}.{who}{SUFFIX}")


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in ``folder``."""
    for path in folder.glob(f".*{SUFFIX}"):
        *_, host, pid, _, _ = path.name.rsplit(".", 4)
        if host == _host() and pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                path.unlink()


def _alive(pid: int) -> bool:
    if os.name == "nt":
        # Signal 0, a question elsewhere, is Ctrl-C there.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
