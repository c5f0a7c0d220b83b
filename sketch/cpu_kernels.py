"""Both kernels of an activation between pixels and landmarks, in one pass over memory.

The formulas are those of the compiled engine, 16 landmarks at a time. In NumPy a
rectifier alone takes thirty passes, as long as the convolution before it.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from ..dual_activations import Activation
from ..kernels.planes.cpu_cache import cached_njit
from ..kernels.planes.cpu_duals import determinant, value
from ..kernels.planes.cpu_lanes import LANES, load, store
from ..kernels.planes.encode_activation import NoDual, dual_of
from ..kernels.planes.families import Dual, Family

NUMBERS = (np.dtype(np.float32), np.dtype(np.float64))


def covered(activation: Activation, c: np.ndarray) -> Dual | None:
    """The compiled formulas for covariances ``c``; None if there are none."""
    if c.dtype not in NUMBERS:
        return None
    try:
        return dual_of(activation)
    except NoDual:
        return None


def kernels(
    dual: Dual, p: np.ndarray, q: np.ndarray, c: np.ndarray, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """k(p, q, c) and theta k_dot(p, q, c).

    Args:
        dual: the formulas.
        p: variances of the pixels, ``[..., 1]``.
        q: variances of the landmarks, ``[m]``.
        c: covariances, ``[..., m]``.
        theta: ``[..., m]``.
    """
    m, dtype = c.shape[-1], c.dtype
    # Landmarks that fill the last lanes have the variance 0; they are cut off.
    padded = -(-m // LANES) * LANES
    columns = np.zeros(padded, dtype=np.float64)
    columns[:m] = q
    own = dual.maps(p.reshape(-1).astype(np.float64)).astype(dtype)
    maps = dual.maps(columns).astype(dtype)
    par = np.asarray([*dual.parameters, 0.0], dtype=dtype)
    out = np.empty((2, own.shape[1], padded), dtype=dtype)
    flat = (np.ascontiguousarray(a).reshape(-1, m) for a in (c, theta))
    _loop(dual.family)(*flat, own, maps.reshape(-1), par, out)
    return tuple(a[:, :m].reshape(c.shape) for a in out)


@cache
def _loop(family: Family) -> Callable[..., None]:
    number = int(family)

    @cached_njit(nogil=True, error_model="numpy")
    def loop(c, theta, own, maps, par, out):
        m, padded, parts = c.shape[1], out.shape[2], own.shape[0]
        pixel = np.zeros(parts * LANES, dtype=c.dtype)
        end = np.zeros(2 * LANES, dtype=c.dtype)
        flat, shared, k = c.reshape(-1), theta.reshape(-1), out.reshape(-1)
        whole, below = m // LANES * LANES, out.shape[1] * padded
        for row in range(c.shape[0]):
            for part in range(parts):
                for lane in range(LANES):
                    pixel[part * LANES + lane] = own[part, row]
            for lane in range(m - whole):
                end[lane] = c[row, whole + lane]
                end[LANES + lane] = theta[row, whole + lane]
            p = load(pixel, 0)
            for x in range(0, padded, LANES):
                if x < whole:
                    cov, t = load(flat, row * m + x), load(shared, row * m + x)
                else:
                    cov, t = load(end, 0), load(end, LANES)
                det = determinant(p, load(maps, x), cov)
                one, two = value(
                    number, cov, det, pixel, 0, LANES, maps, x, padded, par, 0
                )
                store(k, row * padded + x, one)
                store(k, below + row * padded + x, t * two)

    return loop
