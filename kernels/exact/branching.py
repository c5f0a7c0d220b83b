"""Covariance rules of the layers that join branches."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

from array_api_compat import array_namespace

from ..layers import FanInConcat, FanInProd, FanInSum
from ..layers.signature import concat_axis, trace
from .rules import propagate
from .state import Array, Covariances


@propagate.register
def _(layer: FanInSum, state: tuple[Covariances, ...], full: Any) -> Covariances:
    state = _aligned(state)
    ntks = [s.ntk for s in state if s.ntk is not None]
    return replace(
        _join(layer, state, lambda ks: reduce(lambda a, b: a + b, ks)),
        ntk=reduce(lambda a, b: a + b, ntks) if ntks else None,
    )


@propagate.register
def _(layer: FanInProd, state: tuple[Covariances, ...], full: Any) -> Covariances:
    state = _aligned(state)
    nngp, ntk = state[0].nngp, state[0].ntk
    for s in state[1:]:
        terms = [] if ntk is None else [ntk * s.nngp]
        terms += [] if s.ntk is None else [nngp * s.ntk]
        ntk = reduce(lambda a, b: a + b, terms) if terms else None
        nngp = nngp * s.nngp
    joined = _join(layer, state, lambda ks: reduce(lambda a, b: a * b, ks))
    return replace(joined, nngp=nngp, ntk=ntk)


@propagate.register
def _(layer: FanInConcat, state: tuple[Covariances, ...], full: Any) -> Covariances:
    state = _aligned(state)
    dims = state[0].dims
    axis = concat_axis(layer, dims)
    if axis is None:
        channels = [s.signature.channels for s in state]
        total = sum(channels)

        def join(ks: list[Array]) -> Array:
            return sum(c / total * k for c, k in zip(channels, ks, strict=True))
    else:
        copies = (axis - dims, axis - 2 * dims) if state[0].full else (axis - dims,)

        def join(ks: list[Array]) -> Array:
            return _block_diagonal(ks, copies)

    ntks = [s.ntk_or_zero for s in state]
    any_ntk = any(s.ntk is not None for s in state)
    return replace(_join(layer, state, join), ntk=join(ntks) if any_ntk else None)


def _aligned(state: tuple[Covariances, ...]) -> tuple[Covariances, ...]:
    """All branches on the same pairs of pixels."""
    if all(s.full for s in state):
        return state
    return tuple(s.only_diagonal() for s in state)


def _join(
    layer: Any,
    state: tuple[Covariances, ...],
    join: Callable[[list[Array]], Array],
) -> Covariances:
    """Every covariance but the NTK, joined by ``join``."""
    first = state[0]
    alone = first.cov1 is None
    return replace(
        first,
        nngp=join([s.nngp for s in state]),
        cov1=None if alone else join([s.cov1 for s in state]),
        cov2=None if alone else join([s.cov2 for s in state]),
        signature=trace(layer, tuple(s.signature for s in state)),
    )


def _block_diagonal(ks: list[Array], axes: tuple[int, ...]) -> Array:
    """Blocks on the diagonal of ``axes``, zeros elsewhere; one axis: concatenation."""
    xp = array_namespace(*ks)
    if len(axes) == 1:
        return xp.concat(ks, axis=axes[0])
    inner, outer = axes
    rows = []
    for i, k in enumerate(ks):
        blocks = []
        for j, other in enumerate(ks):
            if i == j:
                blocks.append(k)
                continue
            index = [slice(None)] * k.ndim
            index[inner] = slice(0, 1)
            blank = xp.zeros_like(k[tuple(index)])
            blocks += [blank] * other.shape[inner]
        rows.append(xp.concat(blocks, axis=inner))
    return xp.concat(rows, axis=outer)
