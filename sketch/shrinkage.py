r"""How much of the last random features to keep: those that sample inputs confirm.

The tail t of the last map has the expectation E[t t'] = r, what the landmarks leave
of its kernel. Between different inputs r is often far smaller than on the diagonal,
and the noise of m random features, of variance r(x, x) r(x', x') / m, hides it. Two
independent halves of the tail tell both apart,

.. math::
    \alpha = \frac{\sum_{x \ne x'} S_1 S_2}{\sum_{x \ne x'} ((S_1 + S_2) / 2)^2},

with S_1, S_2 their centred products: E[S_1 S_2] is the square of r, and alpha t t'
has the smallest expected squared error of all multiples. The diagonal is left out,
as there is ever less of it the more inputs there are. The inputs x took no part in the
choice of landmarks, which leave less of their own images than of others.

Reference: Stein 1956 for the shrinkage; that of kernel matrices has no source.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activation_map import HALVES, ActivationMap
from .blocks import Blocks, dense
from .fitting import chunks, concrete
from .state import inputs
from .walk import Map, advance

# With fewer inputs there are too few pairs to tell signal from noise.
LEAST, MOST = 10, 100
# One of so many sample inputs is kept from the landmarks.
PART = 5


def hold_out(sample: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The sample for the landmarks, and inputs to shrink with: none if it is small."""
    held = min(len(sample) // PART, MOST)
    if held < LEAST:
        return sample, sample[:0]
    order = np.random.default_rng([seed, len(sample)]).permutation(len(sample))
    return sample[np.sort(order[held:])], sample[order[:held]]


def shrink_last(
    net: Any, held: np.ndarray, maps: tuple[Map, ...], dim: int
) -> tuple[Map, ...]:
    """``maps`` of a network with the tail of the last one shrunk.

    Args:
        net: the network.
        held: the second part of ``hold_out``; if it is empty, nothing is shrunk.
        maps: in the order in which they are met.
        dim: features per pixel.
    """
    last = maps[-1] if maps else None
    if not isinstance(last, ActivationMap) or last.tail is None or not len(held):
        return maps
    net, split = concrete(net), (*maps[:-1], last.split())
    ends = [advance(net, inputs(x, True), split) for x in chunks(held, dim)]
    kept = _kept([end.phi for end in ends]), _kept([end.psi for end in ends])
    return (*maps[:-1], last.shrunk(*(alpha**0.5 for alpha in kept)))


def _kept(ends: Sequence[Blocks]) -> float:
    """Alpha of the halves among the blocks of all chunks; 1 if none is left there."""
    if not {block.label for block in ends[0]} >= set(HALVES):
        return 1.0
    first, second = (_between(_labelled(ends, name)) for name in HALVES)
    total = np.sum((first + second) ** 2) / 4
    if not total > 0:
        return 1.0
    return float(np.clip(np.sum(first * second) / total, 0.0, 1.0))


def _labelled(ends: Sequence[Blocks], label: str) -> np.ndarray:
    """The features with a label, of all inputs and pixels, ``[n, r]``."""
    each = [dense(tuple(b for b in end if b.label == label)) for end in ends]
    return np.concatenate([z.reshape(len(z), -1) for z in each])


def _between(z: np.ndarray) -> np.ndarray:
    """Products of different inputs, centred."""
    k = (z @ z.T).astype(np.float64)
    np.fill_diagonal(k, 0.0)
    centre = np.eye(len(k)) - 1 / len(k)
    return centre @ k @ centre
