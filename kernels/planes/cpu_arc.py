r"""The angle of two vectors from one minus their correlation, on lanes.

The angle is about sqrt(2 e): formed from e = 1 - rho it keeps all the digits of e.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .cpu_lanes import fma, inner, larger, smaller, splat, sqrt, where_less
from .cpu_special import horner
from .fits import ANGLE_DOUBLE, ANGLE_SINGLE, LUNE_DOUBLE, LUNE_SINGLE


def _angle_and_lune(e: Any) -> Any:
    """Both polynomials, in Numba code."""
    raise NotImplementedError("works on lanes, inside Numba code")


@overload(_angle_and_lune, jit_options={"forceinline": True})
def _(e):
    if e.dtype == types.float32:
        return lambda e: (horner(e, ANGLE_SINGLE), horner(e, LUNE_SINGLE))
    return lambda e: (horner(e, ANGLE_DOUBLE), horner(e, LUNE_DOUBLE))


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
