"""A dual activation and its derivatives on whole arrays, for the heads of networks."""

from functools import cache
from typing import Any

import numpy as np

from ...dual_activations import Activation
from .cpu_call import address, call, views
from .cpu_duals import determinant, partials
from .cpu_lanes import LANES, load, outer, store
from .encode_activation import dual_of
from .encoding import COLUMNS, PARAMETERS

OUTPUTS = 8


@cache
def _partials_of(family: int) -> Any:
    """The operation that evaluates a family at ``pitch`` numbers from ``k`` on.

    The outputs follow one another from ``t`` on; the maps of both sides lie in M, one
    map after the other, the second side's from ``d0`` on.
    """

    def evaluate(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        for x in range(0, pitch, LANES):
            c = load(W, k + x)
            det = determinant(load(M, x), load(M, d0 + x), c)
            out = partials(family, c, det, M, x, pitch, M, d0 + x, pitch, par[0], 4)
            store(W, t + x, out[0])
            store(W, t + pitch + x, out[1])
            store(W, t + 2 * pitch + x, out[2])
            store(W, t + 3 * pitch + x, out[3])
            store(W, t + 4 * pitch + x, out[4])
            store(W, t + 5 * pitch + x, out[5])
            store(W, t + 6 * pitch + x, out[6])
            store(W, t + 7 * pitch + x, out[7])
        return k

    return evaluate


@outer
def _call(where, W, M, par, ops, mem, size, second):
    return call(where, W, M, par, ops, mem, 0, 0, size, size, second, 0, 0)


def dual_partials(activation: Activation, p: Any, q: Any, c: Any) -> np.ndarray:
    """k, k_dot, k_c, k_dot_c, k_p, k_q, k_dot_p, k_dot_q: ``[8, *shape]``.

    Args:
        p, q, c: float64 variances and covariance, broadcast to one shape.
    """
    dual = dual_of(activation)
    shape = np.broadcast_shapes(p.shape, q.shape, c.shape)
    size = -(-c.size // LANES) * LANES
    M = np.zeros((2, dual.parts, size))
    for side, v in enumerate((p, q)):
        v = np.maximum(v, 0).reshape((1,) * (len(shape) - v.ndim) + v.shape)
        maps = np.broadcast_to(dual.maps(v), (dual.parts, *shape))
        M[side, :, : c.size] = maps.reshape(dual.parts, -1)
    W = np.zeros((1 + OUTPUTS, size))
    W[0, : c.size] = c.ravel()
    par = np.zeros((1, PARAMETERS))
    par[0, 4 : 4 + len(dual.parameters)] = dual.parameters
    none = np.zeros(1, np.int64)
    where = address(_partials_of(int(dual.family)), np.dtype(np.float64))
    flat = (W.ravel(), M.ravel(), par.ravel())
    _call(where, *flat, none, none, size, M[0].size)
    return W[1:, : c.size].reshape(OUTPUTS, *shape)
