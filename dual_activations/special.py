r"""The error function and the normal distribution, on any array backend.

The array API standard has no error function. Each backend brings its own, reached here
from the array in hand, so that no framework is imported which the array does not
already belong to.
"""

from math import pi, sqrt
from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import (
    array_namespace,
    is_jax_array,
    is_numpy_array,
    is_torch_array,
)
from scipy import special as scipy_special

Array = Any


def erf(x: Array) -> Array:
    r"""(2 / sqrt(pi)) int_0^x e^{-t^2} dt, elementwise.

    >>> float(erf(np.asarray(0.0)))
    0.0
    """
    return _apply("erf", x)


def ndtr(x: Array) -> Array:
    r"""The normal cumulative distribution function P(g < x), g ~ N(0, 1), elementwise.

    >>> float(ndtr(np.asarray(0.0)))
    0.5
    """
    return _apply("ndtr", x)


def normal_pdf(x: Array) -> Array:
    r"""The normal density exp(-x^2 / 2) / sqrt(2 pi), elementwise.

    >>> round(float(normal_pdf(np.asarray(0.0))), 6)
    0.398942
    """
    xp = array_namespace(x)
    return xp.exp(-0.5 * x * x) / sqrt(2 * pi)


def _apply(name: str, x: Array) -> Array:
    backend = _backend(x)
    if backend is not None:
        return getattr(backend, name)(x)
    # SciPy computes on a view of any other array in the memory of the CPU.
    xp = array_namespace(x)
    return xp.asarray(getattr(scipy_special, name)(np.from_dlpack(x)), dtype=x.dtype)


def _backend(x: Array) -> ModuleType | None:
    """The module with special functions for x, if its library has one."""
    if is_numpy_array(x):
        return scipy_special
    if is_jax_array(x):
        from . import jax_special

        return jax_special
    if is_torch_array(x):
        from . import torch_special

        return torch_special
    return None
