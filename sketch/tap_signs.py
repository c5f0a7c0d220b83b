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
        for (taps, channels), pieces in zip(self.layout, self.pieces, strict=True):
            g, column = np.zeros((taps, channels, self.m)), 0
            for tap, columns in pieces:
                width = columns.array.shape[1]
                g[tap, :, column : column + width] = columns.array
                column += width
            parts.append(g.reshape(-1, self.m))
        return np.concatenate(parts)


def _pieces(
    rng: np.random.Generator, taps: int, channels: int, m: int
) -> list[tuple[int, Constant]]:
    """Tap by tap, the columns that see it."""
    g = taps**0.5 * signs(rng, channels, m)
    edges = [m * k // taps for k in range(taps + 1)]
    pairs = zip(rng.permutation(taps).tolist(), edges, edges[1:], strict=False)
    return [(tap, Constant(g[:, a:b])) for tap, a, b in pairs if b > a]


def _project_one(block: Block, pieces: list[tuple[int, Constant]]) -> Array:
    views = block.views()
    parts = [matmul(views[tap], columns) for tap, columns in pieces]
    xp = array_namespace(block.array)
    return block.finish(xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0])
