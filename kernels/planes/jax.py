"""Compiled CPU kernels as functions of JAX arrays, with ``jit``, ``grad``, ``vmap``."""

from functools import lru_cache
from typing import Any

import jax
import numpy as np

Array = Any
# What is needed of an engine, on NumPy arrays: hashable, with ``names``, ``forward(x1,
# x2)`` and ``vjp(x1, x2, cotangents)``; see ``host.HostKernel``.
Host = Any


def kernels(host: Host, x1: Array, x2: Array | None = None) -> tuple[Array, ...]:
    """The kernels of ``host.names``, ``[n, m]`` in the dtype of x1.

    The engine is called back from the compiled program; ``vmap`` calls it once per
    element. First derivatives in x1 and x2 in reverse mode (``jax.grad``, ``vjp``);
    float32 does not need ``jax_enable_x64``.

    Raises:
        NotImplementedError: at a second derivative.
        TypeError: at one in forward mode, by JAX.
    """
    return _differentiable(host)(*((x1,) if x2 is None else (x1, x2)))


def device_type(x: Array) -> str:
    """Where an array lies, or will lie if it is traced: "cpu", "gpu", "tpu"."""
    if isinstance(x, jax.core.Tracer):
        return jax.default_backend()
    return next(iter(x.devices())).platform


@lru_cache(maxsize=64)
def _differentiable(host: Host) -> Any:
    @jax.custom_vjp
    def compute(*xs: Array) -> tuple[Array, ...]:
        shape = jax.ShapeDtypeStruct((xs[0].shape[0], xs[-1].shape[0]), xs[0].dtype)
        return jax.pure_callback(
            lambda *xs: host.forward(*_arrays(xs)),
            (shape,) * len(host.names),
            *xs,
            vmap_method="sequential",
        )

    @jax.custom_jvp
    def pull_back(xs: tuple[Array, ...], cotangents: tuple[Array, ...]) -> Any:
        return jax.pure_callback(
            lambda xs, bars: host.vjp(*_arrays(xs), _host(bars))[: len(xs)],
            tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs),
            xs,
            cotangents,
            vmap_method="sequential",
        )

    @pull_back.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise NotImplementedError(
            "the compiled kernels have first derivatives only; for second derivatives "
            "use engine='exact'"
        )

    compute.defvjp(lambda *xs: (compute(*xs), xs), pull_back)
    return compute


def _host(arrays: tuple[Array, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(a) for a in arrays)


def _arrays(xs: tuple[Array, ...]) -> tuple[np.ndarray | None, ...]:
    """x1 and x2, None where it is missing."""
    return (*_host(xs), None)[:2]
