"""Fixed arrays of a map, drawn or fitted once by NumPy, for every array library."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from ..dual_activations.backends import backend_of

Array = Any


class Constant:
    """A float64 array that is used in the library, dtype and device of other arrays.

    Its values are the same everywhere; they are narrowed once per dtype.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._narrowed = {64: np.ascontiguousarray(array, dtype=np.float64)}

    @property
    def array(self) -> np.ndarray:
        """The array itself."""
        return self._narrowed[64]

    def like(self, x: Array) -> Array:
        """The array as one of ``x``'s kind."""
        bits = array_namespace(x).finfo(x.dtype).bits
        if bits not in self._narrowed:
            self._narrowed[bits] = self.array.astype(f"float{bits}")
        narrow = self._narrowed[bits]
        return narrow if is_numpy_array(x) else backend_of(x).constant(narrow, x)


def take(x: Array, indices: np.ndarray) -> Array:
    """The entries of ``x`` at fixed indices of the last axis."""
    xp = array_namespace(x)
    where = xp.asarray(indices.astype(np.int32), device=device(x))
    return xp.take(x, where, axis=-1)
