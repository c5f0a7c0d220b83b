"""Choosing the maps of a network, one after the other, from a sample."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from ..kernels.layers.hyperparameters import hyperparameters, substitute
from .candidates import Candidates
from .state import inputs
from .walk import Map, Stop, Walk

# Features per array of one chunk of images: small enough for a cache.
ENTRIES = 2**20
# Bytes of features that wait where they stopped until the next map is made.
WAITING = 2**29

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

    The sample is sent through the network a chunk at a time. All that stays of it is a
    bounded number of pixels, and the features of chunks that wait for the next map: as
    many as ``WAITING`` has room for. The other chunks start again from the input.

    Args:
        net: the network.
        sample: NumPy inputs ``[n, ...]``.
        make: chooses one map.
        dim: features per pixel, which decides how large a chunk is.
        seed: together with the position of a map, seeds its random numbers.
        candidates: how many pixels ``make`` gets to choose from; 0 for none.
        least: how many of them it gets however much memory they take.
    """
    walks = Walks(concrete(net, None if candidates else 1.0))
    parts = list(chunks(sample if candidates else sample[:1], dim))
    maps: tuple[Map, ...] = ()
    while True:
        rng = np.random.default_rng([seed, len(maps)])
        found = Candidates(candidates, least, rng)
        for i, chunk in enumerate(parts):
            stop = walks.advance(i, chunk, maps)
            if not isinstance(stop, Stop):
                return maps
            if isinstance(stop.features, tuple):
                # A product of branches is sketched without a look at the sample.
                break
            if candidates:
                found.add(stop.features)
        maps = (*maps, make(stop, found if candidates else None, rng))


class Walks:
    """The walks of all chunks; those that there is room for wait where they stopped.

    Args:
        net: the network.
    """

    def __init__(self, net: Any) -> None:
        self._net = net
        self._waiting: dict[int, tuple[Walk, int]] = {}

    def advance(self, i: int, chunk: np.ndarray, maps: tuple[Map, ...]) -> Any:
        """What ``Walk.advance`` gives for the i-th chunk."""
        walk, _ = self._waiting.pop(i, (None, 0))
        walk = walk or Walk(self._net, inputs(chunk, True))
        stop = walk.advance(maps)
        if isinstance(stop, Stop):
            size = _nbytes(stop.features)
            if size + sum(held for _, held in self._waiting.values()) <= WAITING:
                self._waiting[i] = walk, size
        return stop


def _nbytes(features: Any) -> int:
    """Memory of what came to a stop; a branch that waits besides is not counted."""
    branches = features if isinstance(features, tuple) else (features,)
    blocks = [b for one in branches for b in (*one.phi, *(one.psi or ()))]
    return sum({id(b.array): b.array.nbytes for b in blocks}.values())


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
