r"""Elementary functions on lanes: polynomials with a stated error, no library call.

Numba's ``math.exp`` and ``math.acos`` are calls, one number at a time. These are
straight lines of arithmetic on a whole vector.
"""

from math import log
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .cpu_arccosine import angle_ratio
from .cpu_lanes import LANES, fma, inner, larger, smaller, splat
from .fits import EXP_DOUBLE, EXP_SINGLE, LN2_HIGH, LN2_LOW

_BITS = {32: (ir.IntType(32), 23, 127), 64: (ir.IntType(64), 52, 1023)}


@inner
def horner(x, coefficients):
    """The polynomial with these coefficients, highest power first."""
    y = splat(x, coefficients[0])
    for n in range(1, len(coefficients)):
        y = fma(y, x, splat(x, coefficients[n]))
    return y


@intrinsic
def _nearest(typing_context, x):
    """The nearest integer."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(x)
        name = f"llvm.rint.v{LANES}f{x.dtype.bitwidth}"
        function = builder.module.declare_intrinsic(
            name, fnty=ir.FunctionType(kind, [kind])
        )
        return builder.call(function, args)

    return x(x), generate


@intrinsic
def _times_power_of_two(typing_context, x, n):
    """x 2^n for an integral n; in two steps, so that n may exceed the exponents."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(x)
        scalar, mantissa, bias = _BITS[x.dtype.bitwidth]
        integers = ir.VectorType(scalar, LANES)

        def constant(value):
            return ir.Constant(integers, [value] * LANES)

        whole = builder.fptosi(args[1], integers)
        half = builder.ashr(whole, constant(1))
        result = args[0]
        for part in (half, builder.sub(whole, half)):
            exponent = builder.add(part, constant(bias))
            power = builder.bitcast(builder.shl(exponent, constant(mantissa)), kind)
            result = builder.fmul(result, power)
        return result

    return x(x, n), generate


def _exp_polynomial(r: Any) -> Any:
    """(e^r - 1) / r on the reduced range, in Numba code."""
    raise NotImplementedError("works on lanes, inside Numba code")


@overload(_exp_polynomial, jit_options={"forceinline": True})
def _(r):
    if r.dtype == types.float32:
        return lambda r: horner(r, EXP_SINGLE)
    return lambda r: horner(r, EXP_DOUBLE)


_LIMIT = {types.float32: 180.0, types.float64: 1480.0}


def _clipped(x: Any) -> Any:
    """x, no further from 0 than where exp is 0 or infinite in any case."""
    raise NotImplementedError("works on lanes, inside Numba code")


@overload(_clipped, jit_options={"forceinline": True})
def _(x):
    limit = _LIMIT[x.dtype]
    return lambda x: larger(smaller(x, splat(x, limit)), splat(x, -limit))


@inner
def _reduced(x):
    """n and r with x = n ln(2) + r, |r| <= ln(2) / 2."""
    x = _clipped(x)
    n = _nearest(x * splat(x, 1 / log(2)))
    r = fma(n, splat(x, -LN2_HIGH), x)
    return n, fma(n, splat(x, -LN2_LOW), r)


@inner
def exp(x):
    """e^x, with a relative error of about one unit in the last place."""
    n, r = _reduced(x)
    one = splat(x, 1.0)
    return _times_power_of_two(fma(r, _exp_polynomial(r), one), n)


@inner
def exp_minus_1(x):
    """e^x - 1 for x <= 0, without cancellation near 0."""
    n, r = _reduced(x)
    one = splat(x, 1.0)
    power = _times_power_of_two(one, n)
    return fma(power * r, _exp_polynomial(r), power - one)


@inner
def arcsin(v, cosine):
    """arcsin(v) = v Q(sqrt(1 - v^2)) where the root is known; small relative error.

    Q(x) = arccos(x) / sqrt(1 - x^2), and arcsin(v) = arccos(cosine) for v >= 0.
    """
    return v * angle_ratio(cosine, smaller(cosine, splat(v, 1.0)))
