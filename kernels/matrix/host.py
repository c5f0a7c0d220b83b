"""The edge between the array libraries and NumPy."""

from typing import Any

import numpy as np
from array_api_compat import is_torch_array

Array = Any


def as_numpy(name: str, a: Array) -> np.ndarray:
    """``a`` as a NumPy array of the same dtype, from any library and any device.

    Raises:
        TypeError: ``a`` has no values yet (inside ``jax.jit``), or torch records
            gradients of it, which would be lost.
    """
    if is_torch_array(a):
        if a.requires_grad:
            raise TypeError(
                f"{name} is a tensor that requires grad, but NumPy takes over from "
                f"here and records no gradients; pass {name}.detach()"
            )
        a = a.cpu()
    try:
        out = np.asarray(a)
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} is a {type(a).__name__} whose values cannot be read, expected a "
            "concrete array; call this function outside of jit, grad and vmap"
        ) from error
    if out.dtype == object:
        raise TypeError(
            f"{name} is a {type(a).__name__}, expected an array of NumPy, JAX, torch "
            f"or another array-API library; write numpy.asarray({name}, dtype=float)"
        )
    return out
