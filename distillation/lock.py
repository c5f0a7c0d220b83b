"""One process at a time in the directory of a run."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".lock"
# What Windows locks nobody else can read: a byte behind the text.
BYTE = 4096
# Errors of file systems that know no locks; a run goes on without one there.
UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class RunInUseError(BlockingIOError):
    """A run that another process, or another call in this one, is working on."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of the directory of a run.

    The lock belongs to an open file, so that it ends with its process however that
    ends; what the file holds is for messages only.

    Raises:
        RunInUseError: somebody else has it; the message says who.
    """
    with open(folder / NAME, "a+", encoding="utf-8") as file:
        if not _taken(file):
            raise RunInUseError(
                f"{str(folder)!r} is in use by {_owner(file)}, expected a run that "
                "nobody works on; wait for it, stop it, or choose another directory"
            )
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield
        finally:
            file.truncate(0)
            _released(file)


def _owner(file: Any) -> str:
    file.seek(0)
    return file.read().strip() or "another process"


def _taken(file: Any) -> bool:
    """Whether the lock is ours now."""
    try:
        if sys.platform == "win32":
            file.seek(BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in UNKNOWN
    return True


def _released(file: Any) -> None:
    # Closing would do, but for a child process that has inherited the open file.
    with suppress(OSError):
        if sys.platform == "win32":
            file.seek(BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_UN)
