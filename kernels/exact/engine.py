"""The exact engine: covariances of the inputs, sent through every layer's rule."""

from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from ..layers.needs import needs_pairs
from ..layers.signature import input_signature, trace
from .axes import pair_shapes
from .products import inner_products
from .rules import propagate
from .state import Array, Covariances


def covariances(net: Any, x1: Array, x2: Array | None, want_ntk: bool) -> Covariances:
    """NNGP and NTK covariances of ``net`` between all rows of x1 and x2.

    This is the readable reference of every other engine: each layer is one rule on
    arrays ``[n, m, *S, *S]``, in the array API and the dtype of the inputs.

    Args:
        net: a network of layer descriptions.
        x1: inputs ``[n, *S, channels]``.
        x2: inputs ``[m, *S, channels]``; None for x1 itself.
        want_ntk: whether to compute the NTK as well.

    Raises:
        LayerError: the network does not fit the inputs, or one layer the next.
    """
    trace(net, input_signature(x1.shape))
    full = needs_pairs(net, True)
    return propagate(net, _inputs(x1, x2, full, want_ntk), True)


def _inputs(x1: Array, x2: Array | None, full: bool, want_ntk: bool) -> Covariances:
    """Inner products of pixels, divided by the number of channels."""
    signature = input_signature(x1.shape)
    spatial, channels = signature.spatial, signature.channels
    other = x1 if x2 is None else x2
    between, own = (all_pixels, _own_pixels) if full else (_equal_pixels, _squares)
    nngp = between(x1, other, spatial) / channels
    if x2 is None:
        cov1 = cov2 = None
    else:
        cov1, cov2 = (own(x, spatial) / channels for x in (x1, x2))
    full = full and bool(spatial)
    state = Covariances(nngp, None, cov1, cov2, full, want_ntk, signature)
    return state if x2 is None else replace(state, nngp=_snapped(state))


def _snapped(state: Covariances) -> Array:
    """The covariances, with those of equal inputs exactly equal to their variances.

    A dot product and a sum of squares round differently, and the angle between equal
    inputs would be the square root of that, about 1e-8, in every layer.
    """
    xp = array_namespace(state.nngp)
    p, q = pair_shapes(*state.variances, state.dims, state.full)
    rounding = 4 * state.signature.channels**0.5 * xp.finfo(p.dtype).eps
    equal = (p + q) - 2 * state.nngp <= rounding * (p + q)
    return xp.where(equal, (p + q) / 2, state.nngp)


def all_pixels(x1: Array, x2: Array, spatial: tuple[int, ...]) -> Array:
    """``[n, *S, C], [m, *S, C] -> [n, m, *S, *S]``."""
    xp = array_namespace(x1, x2)
    n, m, channels, dims = x1.shape[0], x2.shape[0], x1.shape[-1], len(spatial)
    left = xp.reshape(x1, (-1, channels))
    right = left if x2 is x1 else xp.reshape(x2, (-1, channels))
    k = xp.reshape(inner_products(left, right), (n, *spatial, m, *spatial))
    order = (0, 1 + dims, *range(1, 1 + dims), *range(2 + dims, k.ndim))
    return xp.permute_dims(k, order)


def _own_pixels(x: Array, spatial: tuple[int, ...]) -> Array:
    """``[n, *S, C] -> [n, *S, *S]``."""
    xp = array_namespace(x)
    flat = xp.reshape(x, (x.shape[0], -1, x.shape[-1]))
    k = flat @ xp.matrix_transpose(flat)
    return xp.reshape(k, (x.shape[0], *spatial, *spatial))


def _equal_pixels(x1: Array, x2: Array, spatial: tuple[int, ...]) -> Array:
    """``[n, *S, C], [m, *S, C] -> [n, m, *S]``."""
    xp = array_namespace(x1, x2)
    n, m, channels = x1.shape[0], x2.shape[0], x1.shape[-1]
    left = xp.permute_dims(xp.reshape(x1, (n, -1, channels)), (1, 0, 2))
    right = left
    if x2 is not x1:
        right = xp.permute_dims(xp.reshape(x2, (m, -1, channels)), (1, 0, 2))
    k = inner_products(left, right)  # [pixels, n, m]
    return xp.reshape(xp.permute_dims(k, (1, 2, 0)), (n, m, *spatial))


def _squares(x: Array, spatial: tuple[int, ...]) -> Array:
    """``[n, *S, C] -> [n, *S]``."""
    return array_namespace(x).sum(x * x, axis=-1)
