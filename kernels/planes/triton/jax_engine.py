"""Triton kernels in JAX programs, through the optional package jax-triton.

Arrays of JAX on a GPU are computed by XLA (``engine="exact"``) unless
``engine="triton"`` is asked for. This file has never run on a GPU. What was seen: with
jax-triton 0.3.1 (jax 0.10.2, 0.11.2, 0.12.0.1) and 0.4.1 (jax 0.11.2), calls are traced
and lowered for CUDA, down to the PTX and the launch that XLA would be given.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from inspect import signature
from typing import Any

import jax

from ..jax import device_type
from ..program import Program

Array = Any
_WAY = "use engine='exact', which XLA compiles for the GPU"
_OLDEST = (0, 3, 1)
# Their rule for unused results is not one of jax 0.12.
_NOT_FOR_JAX_12 = ((0, 4, 0), (0, 4, 1))


def why_not_on(x: Array, program: Program) -> str | None:
    """Why ``x`` and a program cannot be given to Triton kernels, in words that end the
    sentence "engine='triton' ..."; None where they can."""
    from .stage_support import why_not

    device = device_type(x)
    if device != "gpu":
        return (
            f"needs a JAX array on a GPU, got {device} {x.dtype}; use engine='planes'"
        )
    if not program.one_pixel:
        return f"has no convolutional kernels for JAX; {_WAY}"
    reason = why_not(program)
    if reason:
        return f"has no kernel for this network: {reason}"
    return why_no_jax_triton()


def why_no_jax_triton() -> str | None:
    """Why jax-triton cannot be used here; None where it can."""
    if find_spec("jax_triton") is None:
        return (
            "needs jax-triton, which is not installed; write pip install "
            f"'tangency[jax-triton]', or {_WAY}"
        )
    there = version("jax-triton")
    if _numbers(there) < _OLDEST:
        return f"needs jax-triton 0.3.1 or newer, this is {there}; update it, or {_WAY}"
    if _numbers(jax.__version__) >= (0, 12) and _numbers(there) in _NOT_FOR_JAX_12:
        return (
            f"needs jax-triton, whose version {there} does not work with jax "
            f"{jax.__version__}; pip install jax-triton==0.3.1, or {_WAY}"
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(int(part) for part in version.split(".")[:3])


def kernels(
    program: Program,
    names: tuple[str, ...],
    precision: str,
    reference: Any,
    xs: tuple[Array, ...],
) -> tuple[Array, ...]:
    """The kernels of a fully connected network, ``[n, m]``, on the GPU of x1.

    Args:
        program, names, precision: as of ``torch_dense.DenseKernel``.
        reference: the same kernels as a function of arrays that JAX differentiates;
            gradients are those of it.
        xs: x1, and x2 unless it is x1.
    """

    @jax.custom_batching.sequential_vmap
    def launch(*xs: Array) -> tuple[Array, ...]:
        return _gram(program, names, precision, *xs)

    @jax.custom_vjp
    def compute(*xs: Array) -> tuple[Array, ...]:
        return launch(*xs)

    compute.defvjp(
        lambda *xs: (compute(*xs), xs),
        lambda xs, bars: jax.vjp(lambda *xs: tuple(reference(*xs)), *xs)[1](bars),
    )
    return compute(*xs)


def _gram(
    program: Program, names: tuple[str, ...], precision: str, *xs: Array
) -> tuple[Array, ...]:
    from .dense_forward import gram_of_shape_kernel
    from .dense_tiles import gram_constants, shape_tiles

    x1, x2 = (x.reshape(len(x), -1) for x in (xs[0], xs[-1]))
    (n, d), m, float64 = x1.shape, len(x2), x1.dtype == "float64"
    constants = gram_constants(program, names, precision, float64)
    tiles = shape_tiles(float64, precision)
    # What is not asked for is not written either, but has a place among the arguments.
    sizes = [(n, m) if name in names else (1,) for name in ("nngp", "ntk")]
    same = len(xs) == 1
    nngp, ntk, _, _ = _call(
        (x1, x2),
        [jax.ShapeDtypeStruct(size, x1.dtype) for size in (*sizes, (n,), (m,))],
        tiles.options,
        kernel=gram_of_shape_kernel,
        grid=(tiles.blocks(n, m),),
        **{"n": n, "m": m, "d": d, "SAME": same, "TRIANGLE": same},
        **constants,
        **tiles.constants,
    )
    return tuple({"nngp": nngp, "ntk": ntk}[name] for name in names)


def _call(
    arrays: tuple[Array, ...], results: list[Any], options: dict[str, int], **given: Any
) -> list[Array]:
    """``triton_call`` of jax-triton 0.3 or 0.4."""
    with _environment():
        triton_call = import_module("jax_triton").triton_call
    if "out_type" in signature(triton_call).parameters:
        return triton_call(*arrays, out_type=results, backend_options=options, **given)
    # It knows no other options of the compiler.
    known = {name: options[name] for name in ("num_warps", "num_stages")}
    return triton_call(*arrays, out_shape=results, **known, **given)


@contextmanager
def _environment() -> Iterator[None]:
    """Keeps TRITON_CACHE_DIR, which jax-triton empties or deletes when it is imported:
    kernels of torch would be cached in the working folder, or not where they were."""
    before = os.environ.get("TRITON_CACHE_DIR")
    try:
        yield
    finally:
        os.environ.pop("TRITON_CACHE_DIR", None)
        if before is not None:
            os.environ["TRITON_CACHE_DIR"] = before
