"""The peer's side of ``client.py``: runs in the peers' environment, reads JSON lines.

Never imports tangency. An operation is a function that takes the request's arguments
and returns a JSON object; a module per subject adds its own to ``OPERATIONS``.
"""

import json
import os
import platform
import sys
import traceback
from importlib import metadata

from . import nt_entk, nt_kernels, nt_kip

LIBRARIES = ("neural-tangents", "jax", "jaxlib", "numpy", "scipy")


def versions():
    found = {name: metadata.version(name) for name in LIBRARIES}
    return {**found, "python": platform.python_version()}


def hello():
    """Who answers, and with how many cores."""
    return {"versions": versions(), "cores": len(os.sched_getaffinity(0))}


OPERATIONS = {
    "hello": hello,
    **nt_kernels.OPERATIONS,
    **nt_entk.OPERATIONS,
    **nt_kip.OPERATIONS,
}


def answer(request):
    operation = request.pop("op")
    try:
        return OPERATIONS[operation](**request)
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    # Libraries print to standard output too; only answers may go down the pipe.
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)
        for line in sys.stdin:
            pipe.write(json.dumps(answer(json.loads(line))) + "\n")
            pipe.flush()


if __name__ == "__main__":
    main()
