"""The arccosine on lanes, as a square root times a polynomial."""

from typing import Any

from numba import njit, types
from numba.extending import overload

from .cpu_lanes import fma, splat
from .fits import RATIO_DOUBLE, RATIO_SINGLE


def _polynomial(coefficients: tuple[float, ...]) -> Any:
    """A Numba function of lanes; the loop is unrolled by LLVM."""

    @njit(forceinline=True)
    def evaluate(W, x):
        y = splat(W, coefficients[0])
        for n in range(1, len(coefficients)):
            y = fma(y, x, splat(W, coefficients[n]))
        return y

    return evaluate


_single, _double = _polynomial(RATIO_SINGLE), _polynomial(RATIO_DOUBLE)


def angle_ratio(W: Any, a: Any) -> Any:
    """arccos(a) / sqrt(1 - a^2) for lanes 0 <= a <= 1, in Numba code."""
    raise NotImplementedError("angle_ratio works on lanes, inside Numba code")


@overload(angle_ratio, jit_options={"forceinline": True})
def _angle_ratio(W, a):
    if a.dtype == types.float32:
        return lambda W, a: _single(W, a)
    return lambda W, a: _double(W, a + a - splat(W, 1.0))
