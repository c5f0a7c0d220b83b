"""A step of KIP by neural-tangents: its kernels, differentiated by JAX (``worker.py``).

The whole step, with both kernel matrices, the solve and the backward pass, is one
jitted function: that is how the authors' notebook does it.
"""

from dataclasses import asdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..memory import rise
from ..timing import measure
from .nt_kernels import build

call = last = None


def kip_problem(spec, images, labels, x, y, ridge):
    """Compile loss and gradient in the images of one problem."""
    global call
    kip_forget()
    kernel_fn = build(spec)[2]

    def loss(support, y_s, x_t, y_t):
        k_ss = kernel_fn(support, None, "ntk")
        k_ts = kernel_fn(x_t, support, "ntk")
        n = len(support)
        shift = ridge * jnp.trace(k_ss) / n * jnp.eye(n)
        alpha = jnp.linalg.solve(k_ss + shift, y_s)
        return jnp.sum((k_ts @ alpha - y_t) ** 2) / (2 * len(x_t))

    arrays = [jax.device_put(np.load(a)) for a in (images, labels, x, y)]
    compiled = jax.jit(jax.value_and_grad(loss)).lower(*arrays).compile()
    call = partial(compiled, *arrays)
    return {}


def kip_forget():
    """Let go of the problem and of what was compiled for it."""
    global call, last
    call = last = None
    jax.clear_caches()
    return {}


def kip_value(out):
    """Write the loss and, behind it, the flattened gradient."""
    loss, gradient = call() if last is None else last
    np.save(out, np.concatenate([[np.asarray(loss)], np.asarray(gradient).ravel()]))
    return {}


def kip_time(loops=1):
    """Wall and CPU seconds of a step."""

    def timed():
        global last
        last = jax.block_until_ready(call())

    return asdict(measure(timed, loops))


def kip_memory():
    """Peak bytes of the first step, after compiling; less the result."""
    return {"bytes": rise(lambda: jax.block_until_ready(call()))}


OPERATIONS = {
    f.__name__: f for f in (kip_problem, kip_forget, kip_value, kip_time, kip_memory)
}
