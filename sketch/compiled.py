"""Compiled kernels of an activation, where there are some for its arrays."""

from collections.abc import Callable
from functools import partial
from typing import Any

from array_api_compat import is_numpy_array

from ..dual_activations import Activation


def compiled(activation: Activation, c: Any) -> Callable[..., Any] | None:
    """(p, q, c, theta) -> k, theta k_dot as in ``cpu_kernels``; None for arrays other
    than NumPy's and for activations without compiled formulas."""
    if not is_numpy_array(c):
        return None
    # Numba takes a second to import, which other libraries need not wait for.
    from .cpu_kernels import covered, kernels

    dual = covered(activation, c)
    return None if dual is None else partial(kernels, dual)
