"""A kernel for tests of faults; run as a script, it fills a store with it."""

import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tangency as tg
from tangency.kernels.matrix.manifest import library_version

TILES = dict(get=("nngp", "ntk"), tile=5)


def inputs():
    return np.random.default_rng(0).normal(size=(31, 3))


@dataclass(frozen=True)
class SlowKernel:
    """Inner products, and twice as much for the NTK.

    Args:
        seconds: that a call takes.
        victims: folder with a file for every process that is to kill itself in a call.
    """

    seconds: float = 0.0
    victims: str | None = None

    def __call__(self, x1, x2=None, get=("nngp", "ntk")):
        time.sleep(self.seconds)
        # One row is a look at the dtype, by the process that we want to outlive.
        victims = self.victims and len(x1) > 1
        for file in sorted(Path(self.victims).iterdir()) if victims else ():
            # Whoever removes the file is the victim.
            with suppress(FileNotFoundError):
                file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        k = np.einsum("nd,md->nm", x1, x1 if x2 is None else x2)
        made = tg.Kernels(nngp=k, ntk=2 * k)
        return getattr(made, get) if isinstance(get, str) else made


if __name__ == "__main__":
    # By the name under which the tests know it too, not as a class of "__main__".
    from slow_kernel import SlowKernel as Kernel

    path, seconds, user, size = sys.argv[1:]
    if user != "same":
        # Other users may not be able to read this Python: import all that is needed.
        library_version()
        os.setuid(int(user))
    if int(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
    print("computing", flush=True)
    tg.compute(Kernel(float(seconds)), inputs(), path=path, **TILES)
    print("done", flush=True)
