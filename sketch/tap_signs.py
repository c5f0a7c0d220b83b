"""Random signs for patches: each column sees one tap of each block only."""

from functools import reduce
from operator import add

import numpy as np
from array_api_compat import array_namespace

from .blocks import Array, Block, Blocks, Layout, matmul
from .constants import Constant
from .directions import signs


class TapSigns:
    r"""Columns g with E[g g^T] = I, so that (g . psi)(g . psi') estimates psi . psi'.

    On a block of T taps, a column is sqrt(T) times random signs at one tap and zero at
    the others. The taps of a patch are alike, so that this has nearly the variance of
    dense signs for a T-th of the work. A random permutation of the taps makes every
    column see every tap with the same probability.

    Args:
        rng: draws the signs.
        layout: taps and channels of every block.
        m: number of columns.
    """

    def __init__(self, rng: np.random.Generator, layout: Layout, m: int) -> None:
        self.layout, self.m = layout, m
        self.pieces = [_pieces(rng, taps, channels, m) for taps, channels in layout]

    def project(self, blocks: Blocks) -> Array:
        """The features of ``blocks`` times the columns, ``[n, *S, m]``."""
        return reduce(add, map(_project_one, blocks, self.pieces))

    def dense(self) -> np.ndarray:
        """The columns themselves, ``[features, m]``."""
        parts = []
        pairs = zip(self.layout, self.pieces, strict=True)
        for (taps, channels), (g, columns) in pairs:
            out = np.zeros((taps, channels, self.m))
            for tap, (start, stop) in columns:
                out[tap, :, start:stop] = g.array[:, start:stop]
            parts.append(out.reshape(-1, self.m))
        return np.concatenate(parts)


# Signs of all columns, and which columns see which tap.
Pieces = tuple[Constant, list[tuple[int, tuple[int, int]]]]


def _pieces(rng: np.random.Generator, taps: int, channels: int, m: int) -> Pieces:
    g = taps**0.5 * signs(rng, channels, m)
    edges = [m * k // taps for k in range(taps + 1)]
    runs = [(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    pairs = zip(rng.permutation(taps).tolist(), runs, strict=True)
    return Constant(g), [(tap, run) for tap, run in pairs if run[1] > run[0]]


def _project_one(block: Block, pieces: Pieces) -> Array:
    g, columns = pieces
    # As a column sees one tap, the pixels are projected once, and then shifted.
    y = matmul(block.array, g)
    if block.window is None:
        return block.finish(y)
    views = list(block.window.views(y))
    parts = [views[tap][..., start:stop] for tap, (start, stop) in columns]
    return block.finish(array_namespace(y).concat(parts, axis=-1))
