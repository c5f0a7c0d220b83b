r"""The vector-Jacobian product of fully connected kernels, by recomputing blocks.

With c = x1 . x2 and r = 1 / |x|, the sweep gives the derivative in e = 1 - c r1 r2, in
the variances, and so the gradient

.. math:: \bar x_1 = G x_2 + (r_1^2 S + 2 \bar p / d) x_1, \quad G = -\bar e r_1 r_2,

S the sum of e-bar (1 - e) over x2, p-bar the derivative in the variance of the input.
"""

from collections.abc import Iterable

import numpy as np

from ...dual_activations import Activation
from .cpu import check, check_cotangents
from .cpu_dense import SHARE, DenseEngine, Side, Sweep, engine_for
from .cpu_dense_ops import addresses
from .cpu_dense_rows import backward_rows, near_gradients
from .cpu_lanes import LANES
from .cpu_matmul import add_product, packed
from .cpu_partials import dual_partials
from .cpu_workers import default_threads, share
from .program import Program

# Nearly parallel pairs that are listed for every SHARE rows. Any more are treated like
# the others, in the precision of the matrix product.
LISTED = 4096
# Columns of the inputs that are multiplied at a time.
FEATURES = 1024


def vjp(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray | None,
    nngp: np.ndarray | None = None,
    ntk: np.ndarray | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gradients of sum(nngp * K) + sum(ntk * Theta) with respect to x1 and x2.

    Memory beyond inputs, cotangents and results does not grow with rows or depth.

    Args:
        program, x1, x2, threads: as of ``kernel``.
        nngp, ntk: cotangents ``[n, m]``, None for zero.

    Returns:
        Gradients in the shapes and the dtype of x1 and x2; None for x2 None, when x1
        has all of it.
    """
    check(program, x1, x2)
    check_cotangents((len(x1), len(x1 if x2 is None else x2)), nngp, ntk)
    engine = engine_for(program, x1.dtype)
    threads = threads or default_threads()
    g1 = np.zeros_like(x1, order="C")
    g2 = None if x2 is None else np.zeros_like(x2, order="C")
    for right, lefts in engine.blocks(x1, x2):
        for left in lefts:
            part = right.after(left.rows.start) if x2 is None else right
            bars = [_block(bar, left, part, x2 is None) for bar in (nngp, ntk)]
            out = (g1[left.rows], (g1 if g2 is None else g2)[part.rows])
            _Block(engine, left, part).add_gradients(bars, out, threads)
    return g1, g2


def _block(
    bar: np.ndarray | None, one: Side, two: Side, symmetric: bool
) -> np.ndarray | None:
    """The cotangent of a block. Of x1 with itself, it stands for its mirror image as
    well, and the part of it below the diagonal counts zero."""
    if bar is None:
        return None
    block = np.array(bar[one.rows, two.rows])
    if symmetric:
        block += bar[two.rows, one.rows].T
        if one.rows.start == two.rows.start:
            own = block[:, : len(one)]
            own[...] = np.triu(own) - np.diag(np.diag(own)) / 2
    return block


class _Block:
    """The reverse sweep of one block."""

    def __init__(self, engine: DenseEngine, one: Side, two: Side) -> None:
        self.plan, self.one, self.two = engine.plan, one, two
        self.sweep = Sweep(engine.plan, one, two, engine.inner(one, two), True)
        self.back = addresses(engine.plan, self.sweep.dtype, back=True)

    def add_gradients(
        self,
        bars: list[np.ndarray | None],
        out: tuple[np.ndarray, np.ndarray],
        threads: int,
    ) -> None:
        """Add the gradients in the rows of both sides to ``out``."""
        one, two = self.one, self.two
        G, sums1, sums2, near = self._sweep(bars, threads)
        _add_product(out[0], G, two.x, threads)
        _add_product(out[1], np.ascontiguousarray(G.T), one.x, threads)
        self._add_own(out[0], one, sums1)
        self._add_own(out[1], two, sums2)
        for pairs in near:
            near_gradients(one.x, two.x, one.inverse, two.inverse, pairs, *out)

    def _sweep(
        self, bars: list[np.ndarray | None], threads: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """G, the sums over the other side's rows for both, and the near pairs."""
        sweep, n, m = self.sweep, len(self.one), len(self.two)
        self.two.columns(sweep.dtype)  # once, before the threads ask for it
        C = np.empty((n, sweep.torus), sweep.dtype)
        wide = [np.zeros(C.shape, sweep.dtype) for _ in bars]
        for full, bar in zip(wide, bars, strict=True):
            if bar is not None:
                full[:, :m] = bar
        has_t = -1 if bars[1] is None else 0
        sums1 = np.zeros((self.plan.slots, n))
        sums2: list[np.ndarray] = []
        near: list[np.ndarray] = []

        def work(starts: Iterable[int]) -> None:
            W, places, maps = sweep.workspace()
            pairs = np.zeros((LISTED + 1, 3))
            for start in starts:
                rows = (start, min(start + SHARE, n))
                sweep.products(C[slice(*rows)], *rows)
                pairs[0, 0] = 0
                backward_rows(
                    W, C, *wide, rows, *sweep.inputs, sweep.parameters, self.plan.ops,
                    places, sweep.where, self.back, LANES, has_t, maps,
                    self.plan.result, sums1, pairs,
                )  # fmt: skip
                if pairs[0, 0]:
                    near.append(pairs[: int(pairs[0, 0]) + 1].copy())
            sums = W[-self.plan.slots * sweep.torus :].reshape(self.plan.slots, -1)
            sums2.append(sums[:, :m].astype(np.float64))

        share(range(0, n, SHARE), work, threads)
        return C[:, :m], sums1, sum(sums2), near

    def _add_own(self, out: np.ndarray, side: Side, sums: np.ndarray) -> None:
        """Add the part of the gradient along the rows themselves."""
        bar = self.plan.pull_back(side.variances, side.maps, sums, variance_slope)
        factor = side.inverse**2 * sums[-2] + 2 / self.plan.channels * bar
        out += factor.astype(out.dtype)[:, None] * side.x


def _add_product(out: np.ndarray, G: np.ndarray, x: np.ndarray, threads: int) -> None:
    """Add G x to ``out``."""
    for start in range(0, x.shape[1], FEATURES):
        columns = slice(start, min(start + FEATURES, x.shape[1]))
        B = packed(x[:, columns], G.dtype)

        def work(rows: Iterable[int], columns=columns, B=B) -> None:
            part = np.empty((SHARE, B.shape[0] * B.shape[2]), G.dtype)
            for i in rows:
                A = G[i : i + SHARE]
                part[...] = 0
                add_product(part, A, B, 0, len(A))
                out[i : i + SHARE, columns] += part[: len(A), : out[0, columns].size]

        share(range(0, len(G), SHARE), work, threads)


def variance_slope(activation: Activation, p: np.ndarray) -> np.ndarray:
    """d k(p, p, p) / dp."""
    _, _, k_c, _, k_p, k_q, _, _ = dual_partials(activation, p, p, p)
    return k_c + k_p + k_q
