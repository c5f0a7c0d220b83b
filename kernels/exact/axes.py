"""Diagonals, broadcasting and windows on the trailing spatial axes of a covariance."""

from typing import Any

from array_api_compat import array_namespace

from ..layers.windows import margins

Array = Any


def batch_diagonal(k: Array) -> Array:
    """``[n, n, ...] -> [n, ...]``."""
    xp = array_namespace(k)
    batch_last = xp.permute_dims(k, (*range(2, k.ndim), 0, 1))
    diagonal = xp.linalg.diagonal(batch_last)
    return xp.permute_dims(diagonal, (diagonal.ndim - 1, *range(diagonal.ndim - 1)))


def spatial_diagonal(k: Array, dims: int) -> Array:
    """``[..., *S, *S] -> [..., *S]``, entries of equal pixels."""
    xp = array_namespace(k)
    if dims == 0:
        return k
    spatial = k.shape[k.ndim - dims :]
    lead = k.shape[: k.ndim - 2 * dims]
    pixels = 1
    for size in spatial:
        pixels *= size
    square = xp.reshape(k, (*lead, pixels, pixels))
    return xp.reshape(xp.linalg.diagonal(square), (*lead, *spatial))


def pair_shapes(v1: Array, v2: Array, dims: int, full: bool) -> tuple[Array, Array]:
    """Views of ``[n, *S]`` and ``[m, *S]`` that broadcast to the covariance n x m."""
    lead1, lead2 = (v1.shape[0], 1), (1, v2.shape[0])
    return _spread(v1, v2, lead1, lead2, dims, full)


def self_shapes(v: Array, dims: int, full: bool) -> tuple[Array, Array]:
    """Views of ``[n, *S]`` that broadcast to each image's covariance with itself."""
    return _spread(v, v, (v.shape[0],), (v.shape[0],), dims, full)


def _spread(v1: Array, v2: Array, lead1: tuple, lead2: tuple, dims: int, full: bool):
    xp = array_namespace(v1)
    one = (1,) * dims if full else ()
    left = xp.reshape(v1, (*lead1, *v1.shape[1:], *one))
    right = xp.reshape(v2, (*lead2, *one, *v2.shape[1:]))
    return left, right


def window_sums(
    k: Array,
    dims: int,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
    both: bool,
) -> Array:
    """Sums over windows that move along each of the last ``dims`` axes.

    With ``both``, the last ``2 dims`` axes are two copies of the spatial axes, and the
    two windows move independently.
    """
    copies = 2 if both else 1
    for offset in range(copies):
        first = k.ndim - (offset + 1) * dims
        for i, (taps, stride) in enumerate(zip(window, strides, strict=True)):
            k = _moving_sum(k, (first + i,), taps, stride, padding)
    return k


def joint_window_sums(
    k: Array,
    dims: int,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: str,
    full: bool,
) -> Array:
    """sum_o K[s p + o, s p' + o]: one offset for both copies of the spatial axes."""
    for i, (taps, stride) in enumerate(zip(window, strides, strict=True)):
        axis = k.ndim - dims + i
        axes = (axis - dims, axis) if full else (axis,)
        k = _moving_sum(k, axes, taps, stride, padding)
    return k


def _moving_sum(
    k: Array, axes: tuple[int, ...], taps: int, stride: int, padding: str
) -> Array:
    size = k.shape[axes[0]]
    lo, hi = margins(size, taps, stride, padding)
    for axis in axes:
        k = pad(k, axis, lo, hi, circular=padding == "CIRCULAR")
    span = (size + lo + hi - taps) // stride * stride + 1
    total = None
    for o in range(taps):
        index = [slice(None)] * k.ndim
        for axis in axes:
            index[axis] = slice(o, o + span, stride)
        term = k[tuple(index)]
        total = term if total is None else total + term
    return total


def pad(k: Array, axis: int, lo: int, hi: int, circular: bool) -> Array:
    """``k`` with lo and hi more entries along ``axis``: zeros, or wrapped around."""
    if lo == hi == 0:
        return k
    xp = array_namespace(k)
    size = k.shape[axis]

    def strip(start: int, stop: int) -> Array:
        index = [slice(None)] * k.ndim
        index[axis] = slice(start, stop)
        return k[tuple(index)]

    if circular:
        # A filter wider than twice the image wraps around more than once.
        parts = [strip(size - lo % size, size)] if lo % size else []
        parts += [k] * (lo // size + 1 + hi // size)
        parts += [strip(0, hi % size)] if hi % size else []
        return xp.concat(parts, axis=axis)

    blank = xp.zeros_like(strip(0, 1))
    return xp.concat([*[blank] * lo, k, *[blank] * hi], axis=axis)
