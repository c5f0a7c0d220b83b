"""Triton kernels in JAX programs, through the optional package jax-triton.

Arrays of JAX on a GPU are computed by XLA (``engine="exact"``) unless
``engine="triton"`` is asked for. This file has never run on a GPU: jax-triton could not
be installed where it was written, and its tests put a stand-in in that package's place.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax

from ..jax import device_type
from ..program import Program

Array = Any
_WAY = "use engine='exact', which XLA compiles for the GPU"


def why_not_on(x: Array, program: Program) -> str | None:
    """Why ``x`` and a program cannot be given to Triton kernels, in words that end the
    sentence "engine='triton' ..."; None where they can."""
    device = device_type(x)
    if device != "gpu":
        return (
            f"needs a JAX array on a GPU, got {device} {x.dtype}; use engine='planes'"
        )
    if not program.one_pixel:
        return f"has no convolutional kernels for JAX; {_WAY}"
    return why_no_jax_triton()


def why_no_jax_triton() -> str | None:
    """Why jax-triton cannot be used here; None where it can."""
    version = tuple(int(part) for part in jax.__version__.split(".")[:3])
    if sys.version_info < (3, 12):
        python = ".".join(map(str, sys.version_info[:2]))
        return f"needs jax-triton, which needs Python 3.12, this is {python}; {_WAY}"
    if version < (0, 11) or version == (0, 12, 0):
        return (
            "needs jax-triton, which needs jax 0.11 or newer and not 0.12.0, this is "
            f"{jax.__version__}; {_WAY}"
        )
    if find_spec("jax_triton") is None:
        return f"needs jax-triton, which is not installed; pip install it, or {_WAY}"
    return None


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

    @jax.custom_vjp
    def compute(*xs: Array) -> tuple[Array, ...]:
        return _gram(program, names, precision, *xs)

    compute.defvjp(
        lambda *xs: (compute(*xs), xs),
        lambda xs, bars: jax.vjp(lambda *xs: tuple(reference(*xs)), *xs)[1](bars),
    )
    return compute(*xs)


def _gram(
    program: Program, names: tuple[str, ...], precision: str, *xs: Array
) -> tuple[Array, ...]:
    from .dense_forward import gram_kernel
    from .dense_tiles import forward_tiles, gram_constants

    x1, x2 = (x.reshape(len(x), -1) for x in (xs[0], xs[-1]))
    (n, d), m, float64 = x1.shape, len(x2), x1.dtype == "float64"
    constants = gram_constants(program, names, precision, float64)
    tiles = forward_tiles(float64, constants["WIDE"], precision)
    shapes = ((n, m), (n, m), (n,), (m,))
    same = len(xs) == 1
    nngp, ntk, _, _ = import_module("jax_triton").triton_call(
        x1,
        x2,
        kernel=gram_kernel,
        out_shape=[jax.ShapeDtypeStruct(shape, x1.dtype) for shape in shapes],
        grid=(tiles.blocks(n, m),),
        **{"n": n, "m": m, "d": d, "shift": 0, "SAME": same, "TRIANGLE": same},
        **{"DEFECTS": False, **constants, **tiles.constants},
        # It knows no other options of the compiler.
        **{name: tiles.options[name] for name in ("num_warps", "num_stages")},
    )
    return tuple({"nngp": nngp, "ntk": ntk}[name] for name in names)
