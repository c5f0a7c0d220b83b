"""One process at a time in the directory of a run."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NAME, OWNER = ".lock", ".owner"
# Errors of file systems that know no locks; a run goes on without one there.
UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class RunInUseError(BlockingIOError):
    """A run that another process, or another call in this one, is working on."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of the directory of a run.

    The lock is the operating system's, so that it ends with its process however that
    ends; the file beside it says whose it is, for messages only.

    Raises:
        ModuleNotFoundError: filelock is missing.
        RunInUseError: somebody else has it; the message says who.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{str(folder)!r} cannot be locked: {error.name} is not installed; "
            'pip install "tangency[distillation]"',
            name=error.name,
        ) from error
    owner = folder / OWNER
    with ExitStack() as held:
        try:
            # A soft lock, the mere presence of a file, would outlive a killed process.
            lock = FileLock(folder / NAME, fallback_to_soft=False)
            held.enter_context(lock.acquire(blocking=False))
        except Timeout as error:
            raise RunInUseError(
                f"{str(folder)!r} is in use by {_named(owner)}, expected a run that "
                "nobody works on; wait for it, stop it, or choose another directory"
            ) from error
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
        held.callback(owner.unlink, missing_ok=True)
        yield


def _named(owner: Path) -> str:
    try:
        return owner.read_text("utf-8") or "another process"
    except OSError:
        # The others write it a moment after they have the lock.
        return "another process"
