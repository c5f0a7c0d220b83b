"""Infinite-width kernels by neural-tangents, at its best: jitted, warm, all cores.

Runs in the peers' environment (``worker.py``).
"""

import functools
import time
from dataclasses import asdict

import jax
import numpy as np
from neural_tangents import stax

from ..memory import rise
from ..timing import measure

LISTS = ("serial", "parallel")


def build(spec):
    """The stax layer of a spec ``[layer, arguments, options]`` (``spec.py``)."""
    name, arguments, options = spec
    if name in LISTS:
        return getattr(stax, name)(*map(build, arguments))
    return getattr(stax, name)(*map(tuples, arguments), **tuples(options))


def tuples(value):
    if isinstance(value, list):
        return tuple(map(tuples, value))
    if isinstance(value, dict):
        return {key: tuples(inner) for key, inner in value.items()}
    return value


class Problem:
    """A network and its inputs; blocks are compiled once per shape, if at all."""

    def __init__(self, spec, x1, x2, get, jit):
        kernel_fn = build(spec)[2]
        self.jit = jit
        self.function = lambda a, b: tuple(kernel_fn(a, b, tuple(get)))
        self.x1, self.x2 = np.load(x1), np.load(x2)
        self.last = None

    @functools.cache  # noqa: B019
    def block(self, n, m, x64=False):
        """A call without arguments that computes an n x m block, compiled."""
        with jax.experimental.enable_x64(x64):
            dtype = np.float64 if x64 else np.float32
            a = jax.device_put(self.x1[:n].astype(dtype))
            b = jax.device_put(self.x2[:m].astype(dtype))
            if self.jit:
                return functools.partial(
                    jax.jit(self.function).lower(a, b).compile(), a, b
                )
        return functools.partial(self.function, a, b)


problem = None


def kernel_problem(spec, x1, x2, get, jit):
    """Set the problem that the other operations work on; forgets the one before."""
    global problem
    kernel_forget()
    problem = Problem(spec, x1, x2, get, jit)
    return {}


def kernel_forget():
    """Let go of the problem and of what was compiled for it."""
    global problem
    problem = None
    Problem.block.cache_clear()
    jax.clear_caches()
    return {}


def kernel_value(n, m, out, x64=False):
    """Write the block, stacked [outputs, n, m]; what was just timed is not redone."""
    if problem.last is None or problem.last[:3] != (n, m, x64):
        with jax.experimental.enable_x64(x64):
            problem.last = n, m, x64, problem.block(n, m, x64)()
    np.save(out, np.stack([np.asarray(k) for k in problem.last[3]]))
    return {}


def kernel_time(n, m, loops=1):
    """Wall and CPU seconds of a block; compiles it first where that is still to do."""
    call = problem.block(n, m)

    def timed():
        problem.last = n, m, False, jax.block_until_ready(call())

    return asdict(measure(timed, loops))


def kernel_first_call(n, m):
    """Seconds until the first result: tracing, compiling and running."""
    start = time.perf_counter()
    jax.block_until_ready(problem.block(n, m)())
    return {"seconds": time.perf_counter() - start}


def kernel_memory(n, m):
    """Peak bytes of a block's first run, after compiling; less the result."""
    call = problem.block(n, m)
    return {"bytes": rise(lambda: jax.block_until_ready(call()))}


OPERATIONS = {
    f.__name__: f
    for f in (
        kernel_problem,
        kernel_forget,
        kernel_value,
        kernel_time,
        kernel_first_call,
        kernel_memory,
    )
}
