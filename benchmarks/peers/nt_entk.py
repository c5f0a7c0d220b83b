"""The empirical NTK by neural-tangents, jitted and warm (``worker.py``)."""

from dataclasses import asdict
from functools import partial

import jax
import neural_tangents as nt
import numpy as np

from ..entk_models import MODELS, jax_function
from ..memory import rise
from ..timing import measure

call = last = None


def entk_problem(model, n, symmetric, implementation):
    """Compile the full kernel of n by n samples of a model."""
    global call, last
    entk_forget()
    chosen = MODELS[model]
    # neural-tangents has parameters last here, but first in the function.
    kernel = nt.empirical_ntk_fn(
        jax_function(chosen),
        trace_axes=(),
        vmap_axes=0,
        implementation=nt.NtkImplementation[implementation],
    )
    x1 = jax.device_put(chosen.inputs(n, 1))
    x2 = None if symmetric else jax.device_put(chosen.inputs(n, 2))
    weights = [jax.device_put(w) for w in chosen.weights()]
    compiled = jax.jit(kernel).lower(x1, x2, weights).compile()
    call = partial(compiled, x1, x2, weights)
    return {}


def entk_forget():
    """Let go of the kernel and of what was compiled for it."""
    global call, last
    call = last = None
    jax.clear_caches()
    return {}


def entk_value(out):
    """Write the kernel ``[n, m, o, p]``."""
    np.save(out, np.asarray(call() if last is None else last))
    return {}


def entk_time(loops=1):
    """Wall and CPU seconds of a call."""

    def timed():
        global last
        last = jax.block_until_ready(call())

    return asdict(measure(timed, loops))


def entk_memory():
    """Peak bytes of a run, less the result."""
    return {"bytes": rise(lambda: jax.block_until_ready(call()))}


OPERATIONS = {
    f.__name__: f
    for f in (entk_problem, entk_forget, entk_value, entk_time, entk_memory)
}
