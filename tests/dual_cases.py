"""Activations with a compiled dual, and the CPU's duals as functions of arrays."""

from functools import cache

import numpy as np

import tangency as tg
from tangency import dual_activations
from tangency.kernels.planes.cpu_cache import cached_njit
from tangency.kernels.planes.cpu_duals import determinant, partials, value
from tangency.kernels.planes.cpu_lanes import LANES, load, store
from tangency.kernels.planes.encode_activation import dual_of

ACTIVATIONS = (
    tg.Relu(),
    tg.ABRelu(-0.4, 1.3),
    tg.Abs(),
    tg.Sign(),
    tg.Step(),
    *(tg.RectifiedMonomial(n) for n in (2, 3, 5)),
    tg.ExpNormalized(1.5, -0.8),
    tg.Erf(1.3, 0.7, 0.2),
    tg.Gelu(),
    tg.ScaledGelu(1.702),
    tg.Sin(1.2, 0.8, 0.3),
    tg.Cos(0.9, 1.1, 0.2),
    tg.Rbf(0.7),
    tg.Exp(0.5, 0.6),
    tg.Sinh(0.7, 0.8),
    tg.Cosh(0.7, 0.8),
    dual_activations.Gaussian(1.2, -0.8),
    tg.DampedSin(0.4, 1.3, 0.5),
    tg.Gabor(),
    tg.Monomial(3),
    tg.Hermite(4),
    tg.Polynomial((0.1, 0.5, -0.3, 0.2)),
)
NAMES = [repr(f) for f in ACTIVATIONS]


@cache
def compiled(family):
    """``partials`` of a family over arrays; its first two results are ``value``'s."""
    return cached_njit()(evaluation(int(family)))


def evaluation(family):
    def run(c, p, q, M, N, par, out):
        n = c.shape[0]
        for j in range(0, n, LANES):
            lanes = load(c, j)
            det = determinant(load(p, j), load(q, j), lanes)
            v = value(family, lanes, det, M, j, n, N, j, n, par, 0)
            d = partials(family, lanes, det, M, j, n, N, j, n, par, 0)
            store(out, j, v[0])
            store(out, n + j, v[1])
            store(out, 2 * n + j, d[2])
            store(out, 3 * n + j, d[3])
            store(out, 4 * n + j, d[4])
            store(out, 5 * n + j, d[5])
            store(out, 6 * n + j, d[6])
            store(out, 7 * n + j, d[7])

    return run


def dual(activation, p, q, c, dtype=np.float64):
    """k, k_dot, k_c, k_dot_c, k_p, k_q, k_dot_p, k_dot_q of the compiled engine."""
    spec = dual_of(activation)
    n = c.size
    pad = -n % LANES
    p, q, c = (np.pad(np.ravel(x), (0, pad), mode="edge") for x in (p, q, c))
    maps = [np.ascontiguousarray(spec.maps(x).astype(dtype)).ravel() for x in (p, q)]
    par = np.zeros(8, dtype)
    par[: len(spec.parameters)] = spec.parameters
    out = np.full(8 * c.size, np.nan, dtype)
    arrays = (x.astype(dtype) for x in (c, p, q))
    compiled(spec.family)(*arrays, *maps, par, out)
    return out.reshape(8, -1)[:, :n]


def grid(correlations, variances=(0.05, 0.3, 1.0, 1.7, 4.0)):
    """p, q, c with q > 0 on all combinations."""
    p, q, rho = np.meshgrid(variances, variances, correlations, indexing="ij")
    p, q, rho = p.ravel(), q.ravel(), rho.ravel()
    return p, q, rho * np.sqrt(p * q)
