r"""The angle of two vectors from one minus their correlation, on lanes.

The angle is about sqrt(2 e): formed from e = 1 - rho it keeps all the digits of e.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .cpu_lanes import fma, inner, larger, smaller, splat, sqrt, where_less
from .cpu_special import horner

# theta / sqrt(e) and (sin(theta) - theta cos(theta)) / e^(3/2) for cos(theta) = 1 - e,
# e in [0, 1], Chebyshev fits, highest power first. Errors 2.9e-8 and 1.8e-8 in single,
# below 1e-16 in double precision.
_ANGLE_SINGLE = (
    0.00121173777,
    -0.00199064296,
    0.003338417011,
    0.001478859823,
    0.008216730963,
    0.0264744825,
    0.1178531667,
    1.414213546,
)
_LUNE_SINGLE = (
    0.0002344713665,
    -0.000176200355,
    0.0007422619753,
    0.001658284706,
    0.00759271726,
    0.0471393947,
    0.9428090524,
)
_ANGLE_DOUBLE = (
    1.93215621147499314e-6,
    -0.000016206084657903017,
    0.0000646865746879669348,
    -0.000160596487236748713,
    0.000276875162184647977,
    -0.00034946035315777286,
    0.000334763276681735141,
    -0.000245453411114908581,
    0.000143686983074757716,
    -0.0000584061912430536251,
    0.0000337933851656776134,
    0.0000209418835961835932,
    0.0000650649425662176058,
    0.000154096299936105578,
    0.000383467776274873984,
    0.000988717302087337019,
    0.00268540996323981774,
    0.00789181675119833591,
    0.0265165042945492709,
    0.117851130197757553,
    1.41421356237309505,
)
_LUNE_DOUBLE = (
    1.09936381927695247e-7,
    -8.57326605609499219e-7,
    3.19922872521605747e-6,
    -7.39733373594607143e-6,
    0.0000118557227907619203,
    -0.0000137909219393811611,
    0.0000121914059412057515,
    -7.96741791189187089e-6,
    4.60969599964673194e-6,
    -6.71579626487064446e-7,
    3.08315180737621596e-6,
    6.59715828085962297e-6,
    0.0000181728784964523959,
    0.0000511234069801374104,
    0.000152110866569836914,
    0.000488256325525355103,
    0.00175373705702201926,
    0.00757614408413191345,
    0.0471404520791032412,
    0.942809041582063366,
)


def _angle_and_lune(e: Any) -> Any:
    """Both polynomials, in Numba code."""
    raise NotImplementedError("works on lanes, inside Numba code")


@overload(_angle_and_lune, jit_options={"forceinline": True})
def _(e):
    if e.dtype == types.float32:
        return lambda e: (horner(e, _ANGLE_SINGLE), horner(e, _LUNE_SINGLE))
    return lambda e: (horner(e, _ANGLE_DOUBLE), horner(e, _LUNE_DOUBLE))


@inner
def arc(e):
    """theta = arccos(1 - e) and sin(theta) - theta cos(theta), for e in [0, 2]."""
    zero, one, turn = splat(e, 0.0), splat(e, 1.0), splat(e, np.pi)
    less = smaller(e, one + one - e)
    root = sqrt(less)
    angle, lune = _angle_and_lune(less)
    theta = root * angle
    theta = where_less(one, e, turn - theta, theta)
    return theta, fma(less * root, lune, turn * larger(e - one, zero))
