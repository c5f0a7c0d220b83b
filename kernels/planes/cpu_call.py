"""Calls through addresses: every operation is compiled once, alone, when it is needed.

Numba links what a function calls into the function and optimises all of it again, so
that an interpreter of two dozen operations would take a minute to compile. Here the
interpreter calls an operation by its address, and the operations of other networks
are never compiled.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, from_dtype, types
from numba.extending import intrinsic

from .cpu_cache import cached_cfunc
from .cpu_lanes import inner

# What an operation is given: arrays, then integers.
ARRAYS, INTEGERS = 5, 7
_ANY = 1 << 40


@cache
def address(function: Callable[..., int], dtype: np.dtype) -> int:
    """The address of ``function``, compiled for numbers of ``dtype``.

    The function takes pointers to W, M, par (numbers) and ops, mem (int64), then the
    integers o, k, t, pitch, d0, d1, torus, and returns an integer; ``views`` makes
    arrays of the pointers.
    """
    number = from_dtype(dtype)
    pointers = [types.CPointer(number)] * 3 + [types.CPointer(types.int64)] * 2
    signature = types.int64(*pointers, *[types.int64] * INTEGERS)
    compiled = cached_cfunc(signature, function)
    _alive.append(compiled)
    return compiled.address


_alive: list[Any] = []


@inner
def views(W, M, par, ops, mem, parameters, columns):
    """Arrays on the memory an operation was given."""
    return (
        carray(W, (_ANY,)),
        carray(M, (_ANY,)),
        carray(par, (_ANY // parameters, parameters)),
        carray(ops, (_ANY // columns, columns)),
        carray(mem, (_ANY,)),
    )


@intrinsic
def call(typing_context, where, W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    """Call the operation at the address ``where``."""
    arrays = (W, M, par, ops, mem)
    signature = types.int64(types.int64, *arrays, *[types.int64] * INTEGERS)

    def generate(context, builder, signature, args):
        pointers = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(arrays, args[1 : ARRAYS + 1], strict=True)
        ]
        values = [*pointers, *args[ARRAYS + 1 :]]
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [value.type for value in values])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, values)

    return signature, generate
