"""PolySketch: sketches of all powers of a kernel from one tree of tensor sketches."""

import numpy as np

from .blocks import Array, Block, Blocks, Layout, Matrix, project
from .srht import SRHT, TensorSRHT, paired


class PolySketch:
    r"""U_l(x) with E <U_l(x), U_l(y)> = (x . y)^l for l = 1, ..., q, complex.

    The leaves of a binary tree are sketches of x, the nodes sketch the tensor product
    of their children, and U_l is the root where only the first l leaves hold x and the
    others the number 1. A node with one such child is its other child. A change of l
    touches one path, so all degrees cost little more than the highest.

    Args:
        rng: draws the tree.
        layout: of x.
        degree: q >= 1, any number.
        k: number of complex features of each degree.

    Reference: Ahle et al. 2020 (1909.01410), section 4.3; Han et al. 2022 (2209.04121),
    algorithm 2, for all degrees from one tree of q = 2^L leaves.
    """

    def __init__(
        self, rng: np.random.Generator, layout: Layout, degree: int, k: int
    ) -> None:
        self.degree, self.k = degree, k
        self.height = (degree - 1).bit_length()
        self.leaves = [SRHT(rng, layout, k) for _ in range(degree)]
        weights = [leaf.weights() for leaf in self.leaves]
        # As matrices, all leaves are one: a patch is walked through once.
        dense = all(w is not None for w in weights)
        self.bank = Matrix(np.concatenate(weights, axis=1), layout) if dense else None
        inner: Layout = ((1, k),)
        self.nodes = {
            (level, j): TensorSRHT(rng, inner, inner, k)
            for level in range(2, self.height + 1)
            for j in range(-(-degree // 2**level))
        }

    def __call__(self, x: Blocks) -> list[Array]:
        """U_1, ..., U_q, each ``[n, *S, k]``."""
        known: dict[tuple[int, int, int], Array] = {}
        if self.bank is not None:
            y, k = project(x, self.bank), self.k
            for j in range(self.degree):
                known[0, j, 1] = paired(y[..., 2 * k * j : 2 * k * (j + 1)])
        return [self._node(x, known, self.height, 0, n + 1) for n in range(self.degree)]

    def _node(
        self, x: Blocks, known: dict, level: int, j: int, degree: int
    ) -> Array | None:
        """The j-th node of a level, where the first ``degree`` leaves of all hold x;
        None for the number 1."""
        leaves = min(degree - j * 2**level, 2**level)
        if leaves <= 0:
            return None
        key = level, j, leaves
        if key not in known:
            known[key] = self._computed(x, known, level, j, degree)
        return known[key]

    def _computed(
        self, x: Blocks, known: dict, level: int, j: int, degree: int
    ) -> Array:
        if level == 0:
            return self.leaves[j](x)
        left = self._node(x, known, level - 1, 2 * j, degree)
        right = self._node(x, known, level - 1, 2 * j + 1, degree)
        if right is None:
            return left
        if level == 1:
            # Leaves are transformed already, as the halves of a TensorSRHT.
            return self.k**0.5 * left * right
        return self.nodes[level, j]((Block(left),), (Block(right),))
