"""Choosing the maps of a network, one after the other, from a sample."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from ..kernels.layers.hyperparameters import hyperparameters, substitute
from .candidates import Candidates
from .state import inputs
from .walk import Map, Stop, advance

# Features per array of one chunk of images: small enough for a cache.
ENTRIES = 2**20

# Makes the map at a stop: (stop, candidates, rng).
Maker = Callable[[Stop, Candidates | None, np.random.Generator], Map]


def fit_maps(
    net: Any,
    sample: np.ndarray,
    make: Maker,
    dim: int,
    seed: int,
    candidates: int,
    least: int,
) -> tuple[Map, ...]:
    """The maps of every layer that needs one, in the order in which they are met.

    The sample is sent through the maps so far, a chunk at a time, and all that stays of
    it is a bounded number of pixels.

    Args:
        net: the network.
        sample: NumPy inputs ``[n, ...]``.
        make: chooses one map.
        dim: features per pixel, which decides how large a chunk is.
        seed: together with the position of a map, seeds its random numbers.
        candidates: how many pixels ``make`` gets to choose from; 0 for none.
        least: how many of them it gets however much memory they take.
    """
    net = concrete(net, None if candidates else 1.0)
    maps: tuple[Map, ...] = ()
    while True:
        rng = np.random.default_rng([seed, len(maps)])
        found = Candidates(candidates, least, rng)
        for chunk in chunks(sample if candidates else sample[:1], dim):
            stop = advance(net, inputs(chunk, True), maps)
            if not isinstance(stop, Stop):
                return maps
            if isinstance(stop.features, tuple):
                # A product of branches is sketched without a look at the sample.
                break
            if candidates:
                found.add(stop.features)
        maps = (*maps, make(stop, found if candidates else None, rng))


def concrete(net: Any, value: float | None = None) -> Any:
    """``net`` with its array-valued hyperparameters as numbers: their own, or all of
    them ``value``, where none matters and they may be traced."""
    found = hyperparameters(net)
    return substitute(net, tuple(float(v) if value is None else value for v in found))


def chunks(x: Any, dim: int) -> Iterator[Any]:
    """Slices of ``x`` ``[n, *S, channels]`` with about ``ENTRIES`` features each."""
    step = max(1, ENTRIES // (prod(x.shape[1:-1]) * dim))
    for start in range(0, x.shape[0], step):
        yield x[start : min(start + step, x.shape[0]), ...]
