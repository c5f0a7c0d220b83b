"""Vectors of 16 numbers in Numba: one lane for each pair of images of a tile.

Numba has no vector type, and LLVM gives up on loops over a dozen arrays that might
overlap. Here the vector is a type of its own, so every operation below is one LLVM
vector instruction, whatever surrounds it, and the order of operations is fixed: equal
inputs give bitwise equal results in every lane, plane and program.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from .cpu_cache import cached_njit

LANES = 16

_OPTIONS = {"nogil": True, "error_model": "numpy"}
# Called from compiled code only: no way in from Python halves the compile time.
inner = njit(
    **_OPTIONS, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
outer = cached_njit(**_OPTIONS, no_cfunc_wrapper=True)


class Lanes(types.Type):
    """The Numba type of ``LANES`` numbers of one dtype."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes{LANES}({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Lanes) -> None:
        single = fe_type.dtype == types.float32
        scalar = ir.FloatType() if single else ir.DoubleType()
        super().__init__(manager, fe_type, ir.VectorType(scalar, LANES))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    vector = context.get_value_type(Lanes(kind.dtype))
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


@intrinsic
def load(typing_context, array, offset):
    """The lanes array[offset], array[offset + 1], ...; no bounds are checked."""

    def generate(context, builder, signature, args):
        value = builder.load(_pointer(context, builder, array, *args))
        value.align = array.dtype.bitwidth // 8
        return value

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing_context, array, offset, lanes):
    """Write ``lanes`` at array[offset], ..."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[:2])
        builder.store(args[2], pointer).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def splat(typing_context, array, number):
    """``number`` in every lane, rounded to the dtype of ``array``."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        number = context.cast(
            builder, args[1], signature.args[1], signature.return_type.dtype
        )
        if isinstance(number, ir.Constant):
            return ir.Constant(kind, [number.constant] * LANES)
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, undefined, mask)

    return Lanes(array.dtype)(array, number), generate


def _llvm(name: str, arity: int) -> Callable[..., Any]:
    """An LLVM intrinsic on lanes."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        bits = signature.return_type.dtype.bitwidth
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(kind, [kind] * arity),
            f"llvm.{name}.v{LANES}f{bits}",
        )
        return builder.call(function, args)

    return generate


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c with one rounding."""
    return a(a, a, a), _llvm("fma", 3)


@intrinsic
def sqrt(typing_context, a):
    """The square root."""
    return a(a), _llvm("sqrt", 1)


@intrinsic
def magnitude(typing_context, a):
    """The absolute value."""
    return a(a), _llvm("fabs", 1)


def _select(predicate: str) -> Callable[..., Any]:
    def generate(context, builder, signature, args):
        chosen = builder.fcmp_ordered(predicate, args[0], args[1])
        return builder.select(chosen, args[2], args[3])

    return generate


@intrinsic
def where_less(typing_context, a, b, yes, no):
    """``yes`` in the lanes where a < b, else ``no``."""
    return yes(a, a, yes, yes), _select("<")


@intrinsic
def smaller(typing_context, a, b):
    """The minimum."""

    def generate(context, builder, signature, args):
        return _select("<")(context, builder, signature, (*args, *args))

    return a(a, a), generate


@intrinsic
def larger(typing_context, a, b):
    """The maximum."""

    def generate(context, builder, signature, args):
        return _select(">")(context, builder, signature, (*args, *args))

    return a(a, a), generate


def _binary(symbol: Callable[..., Any], instruction: str) -> None:
    """Make ``symbol`` work on two vectors of lanes."""

    @intrinsic
    def apply(typing_context, a, b):
        def generate(context, builder, signature, args):
            return getattr(builder, instruction)(*args)

        return a(a, b), generate

    @overload(symbol)
    def operation(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: apply(a, b)
        return None


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")
