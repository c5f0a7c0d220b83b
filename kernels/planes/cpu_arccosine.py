"""The arccosine on lanes, as a square root times a polynomial."""

from typing import Any

from numba import njit, types
from numba.extending import overload

from .cpu_lanes import fma, splat

# Q(a) = arccos(a) / sqrt(1 - a^2) on [0, 1], weighted minimax fits, highest power
# first. In a, error of theta below 1.1e-8; in 2 a - 1, below 1e-17.
_SINGLE = (
    -0.013322484938126676,
    0.07714190133499978,
    -0.20864093287874652,
    0.36426235084073827,
    -0.4894734311073789,
    0.579310756434881,
    -0.6653885144341282,
    0.7853115999237263,
    -0.999997708024525,
    1.5707963167591006,
)
_DOUBLE = (
    -3.872398020190798e-11,
    1.1880721779819627e-10,
    -1.5191199602630045e-10,
    4.685720068252139e-10,
    -1.9534432391641623e-09,
    6.03216110510682e-09,
    -1.7981407551034205e-08,
    5.575856152633174e-08,
    -1.738726839235579e-07,
    5.418573662468843e-07,
    -1.693645350595314e-06,
    5.314287553477724e-06,
    -1.6749141348338966e-05,
    5.307370313295116e-05,
    -0.00016930994773843924,
    0.0005447739881451526,
    -0.0017729284610749304,
    0.005861628974956424,
    -0.01983714692248039,
    0.06973319205204695,
    -0.26360014128128495,
    1.2091995761561452,
)


def _polynomial(coefficients: tuple[float, ...]) -> Any:
    """A Numba function of lanes; the loop is unrolled by LLVM."""

    @njit(forceinline=True)
    def evaluate(W, x):
        y = splat(W, coefficients[0])
        for n in range(1, len(coefficients)):
            y = fma(y, x, splat(W, coefficients[n]))
        return y

    return evaluate


_single, _double = _polynomial(_SINGLE), _polynomial(_DOUBLE)


def angle_ratio(W: Any, a: Any) -> Any:
    """arccos(a) / sqrt(1 - a^2) for lanes 0 <= a <= 1, in Numba code."""
    raise NotImplementedError("angle_ratio works on lanes, inside Numba code")


@overload(angle_ratio, jit_options={"forceinline": True})
def _angle_ratio(W, a):
    if a.dtype == types.float32:
        return lambda W, a: _single(W, a)
    return lambda W, a: _double(W, a + a - splat(W, 1.0))
