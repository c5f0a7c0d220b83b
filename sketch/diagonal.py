"""Exact kernels of inputs with themselves, in place of those of features."""

from typing import Any

from array_api_compat import array_namespace

from ..kernels import ExactKernel

Array = Any
# Inputs per call of the exact kernel, which computes their pairs as well.
BLOCK = 4


def with_exact_diagonal(net: Any, x: Array, k: Array, name: str) -> Array:
    """A kernel ``[n, n, *S, *S]`` whose entries k[i, i] are those of the exact kernel.

    Args:
        net: the network.
        x: its inputs ``[n, ...]``.
        k: the kernel of all of them by features.
        name: "nngp" or "ntk".
    """
    xp, kernel = array_namespace(k), ExactKernel(net)
    blocks = []
    for start in range(0, x.shape[0], BLOCK):
        full = kernel(x[start : start + BLOCK, ...], get=name)
        blocks += [full[i, i, ...] for i in range(full.shape[0])]
    exact = xp.astype(xp.stack(blocks), k.dtype)
    n = k.shape[0]
    same = xp.reshape(
        xp.asarray([[i == j for j in range(n)] for i in range(n)], device=k.device),
        (n, n, *(1,) * (k.ndim - 2)),
    )
    return xp.where(same, exact[:, None, ...], k)
