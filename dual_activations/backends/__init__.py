"""What the duals need of a framework beyond the array API, one file per framework.

Every file has the same functions: ``constant`` (from NumPy), ``double`` (the widest
precision), ``known`` (a number, if tracing does not hide it), ``slope`` (the derivative
of a function), ``matmul`` (in full precision), ``total`` (a long sum in little memory)
and ``report`` (a number, when a compiled function runs).
"""

from types import ModuleType
from typing import Any

from array_api_compat import is_jax_array, is_torch_array


def backend_of(x: Any) -> ModuleType:
    """The file for the framework that the array x belongs to; no other is imported."""
    if is_jax_array(x):
        from . import jax as backend
    elif is_torch_array(x):
        from . import torch as backend
    else:
        from . import array_api as backend
    return backend
