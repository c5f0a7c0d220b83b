"""Vector-Jacobian products of convolutional kernels on the CPU."""

from functools import lru_cache
from typing import Any

import numpy as np

from .cpu import (
    Engine,
    blocks,
    check,
    check_cotangents,
    engine_for,
    lanes,
    pairs_of,
)
from .cpu_gradient import Backward, Gradients, RecorderBackward
from .cpu_lanes import LANES
from .cpu_near_pairs import nearly_parallel
from .cpu_sides import Side
from .cpu_workers import default_threads, share
from .head import Scalars, head_gradient, run_head
from .program import Program


def vjp(
    program: Program,
    x1: np.ndarray,
    x2: np.ndarray | None,
    nngp: np.ndarray | None = None,
    ntk: np.ndarray | None = None,
    threads: int | None = None,
    second: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gradients of sum(nngp * K) + sum(ntk * Theta) with respect to x1 and x2.

    Planes are computed again, so that memory grows with neither depth nor pairs. Where
    a derivative is infinite, at equal images, it counts as 0.

    Args:
        program, x1, x2, threads: see ``kernel``.
        nngp, ntk: cotangents ``[n, m]``; None for zero.
        second: whether the gradient in x2 is wanted, which takes a pass of its own.

    Returns:
        Arrays like x1 and x2; the second is None if x2 is, or if it is not wanted.
    """
    check(program, x1, x2)
    n, m = len(x1), len(x1 if x2 is None else x2)
    check_cotangents((n, m), nngp, ntk)
    engine = gradient_engine(program, x1.dtype, ntk is not None)
    threads = threads or default_threads()
    second = second and x2 is not None
    gradients = [np.zeros_like(x) for x in ((x1, x2) if second else (x1,))]
    for rows, cols in blocks(engine.block, n, m, x2 is None):
        cotangents = [_block(c, rows, cols, x2 is None) for c in (nngp, ntk)]
        images = [x1[rows]]
        if x2 is not None or rows != cols:
            images.append((x1 if x2 is None else x2)[cols])
        found = engine.run(images, cotangents, threads, second or x2 is None)
        gradients[0][rows] += found[0]
        if len(found) == 2:
            gradients[-1][cols] += found[1]
    return gradients[0], gradients[1] if second else None


def _block(
    cotangent: np.ndarray | None, rows: slice, cols: slice, symmetric: bool
) -> np.ndarray | None:
    """The cotangent of a block of pairs, and of the mirrored block if there is one."""
    if cotangent is None:
        return None
    block = np.asarray(np.asarray(cotangent)[rows, cols], np.float64)
    if symmetric and rows != cols:
        block = block + np.asarray(cotangent)[cols, rows].T
    return block


class GradientEngine:
    """A program compiled for one dtype, for products with one or both kernels."""

    def __init__(self, program: Program, dtype: np.dtype, want_t: bool) -> None:
        self.program, self.want_t = program, want_t
        self.engine: Engine = engine_for(program, dtype, want_t)
        self.backward = Backward(program, dtype, want_t)
        self.own = Backward(program, dtype, False)
        self.recorder = RecorderBackward(program, self.engine.recorder)
        # Every thread adds up the gradients of a block in float64.
        self.block = max(LANES, self.engine.block // 4 // LANES * LANES)

    def run(
        self,
        images: list[np.ndarray],
        cotangents: list[np.ndarray | None],
        threads: int,
        second: bool = True,
    ) -> list[np.ndarray]:
        """Gradients of the images of a block, of the first side alone if not second.

        In float32, a block with nearly parallel images is run in float64: there the
        gradients through covariances and through variances grow as one over the angle,
        and cancel.
        """
        same = len(images) == 1
        flat = [x.reshape(len(x), -1) for x in images]
        if flat[0].dtype == np.float32 and nearly_parallel(flat[0], flat[-1]).any():
            precise = gradient_engine(self.program, np.dtype(np.float64), self.want_t)
            images = [x.astype(np.float64) for x in images]
            return precise.run(images, cotangents, threads, second)
        sides = [self.engine.side(x, threads) for x in images]
        seeds = self._before_head(sides, same, cotangents, threads)
        gradients = self._pairs(sides, seeds, threads)
        variances = (seeds.v1 + seeds.v2,) if same else (seeds.v1, seeds.v2)
        wanted = list(zip(sides, images, gradients, variances, strict=True))
        out = []
        for side, x, gradient, own in wanted if second else wanted[:1]:
            self._alone(side, gradient, own, threads)
            channels = x.shape[-1]
            g = gradient.images.reshape(len(x), channels, -1).transpose(0, 2, 1)
            out.append(g.reshape(x.shape))
        return out

    def _before_head(
        self,
        sides: list[Side],
        same: bool,
        cotangents: list[np.ndarray | None],
        threads: int,
    ) -> Scalars:
        """The gradient of k and t before the head."""
        one, two = sides[0], sides[-1]
        k, t = cotangents
        n, m = len(one.images), len(two.images)
        zero = np.zeros((n, m))
        after = Scalars(zero if k is None else k, t, np.zeros(n), np.zeros(m))
        if self.engine.head_variance:
            before = self.engine.planes(one, two, same, threads)
        else:
            # The derivative of affine maps does not depend on the values.
            t0 = zero if self.want_t else None
            before = Scalars(zero, t0, one.variances, two.variances)
        _, history = run_head(self.program.head, before)
        return head_gradient(self.program.head, history, after)

    def _new(self, side: Side) -> Gradients:
        return Gradients(*side.images.shape, self.engine.recorder.pixels)

    def _pairs(
        self, sides: list[Side], seeds: Scalars, threads: int
    ) -> list[Gradients]:
        """Gradients through the planes of all pairs, of images and variances."""
        same = len(sides) == 1
        one, two = sides[0], sides[-1]
        first, second = pairs_of(len(one.images), len(two.images), same)
        planes = [s for s in (seeds.k, seeds.t) if s is not None]
        if same:
            planes = [s + np.tril(s, -1).T for s in planes]
        total = [self._new(side) for side in sides]
        finished: list[list[Gradients]] = []

        def work(tiles: Any) -> None:
            memory = self.backward.workspace()
            mine = [self._new(side) for side in sides]
            for start in tiles:
                i1, i2 = first[start : start + LANES], second[start : start + LANES]
                seed = np.zeros((2, LANES), memory.W.dtype)
                for row, plane in zip(seed, planes, strict=False):
                    row[: len(i1)] = plane[i1, i2] * self.backward.scale
                lane_sides = (
                    (one.images, one.maps, lanes(i1)),
                    (two.images, two.maps, lanes(i2)),
                )
                into = (mine[0], mine[-1])
                self.backward.run(memory, lane_sides, seed.ravel(), 0, len(i1), into)
            finished.append(mine)

        share(range(0, len(first), LANES), work, threads)
        for mine in finished:
            for whole, part in zip(total, mine, strict=True):
                whole.add(part)
        return total

    def _alone(
        self, side: Side, gradients: Gradients, variances: np.ndarray, threads: int
    ) -> None:
        """Gradients through the variances of every image, into its pixels."""
        n = len(side.images)

        def work(tiles: Any) -> None:
            memory = self.own.workspace()
            for start in tiles:
                some = np.arange(start, min(start + LANES, n))
                which = lanes(some)
                if self.engine.head_variance:
                    seed = np.zeros((2, LANES), memory.W.dtype)
                    seed[0, : len(some)] = variances[some] * self.own.scale
                    both = ((side.images, side.maps, which),) * 2
                    into = (gradients, gradients)
                    self.own.run(memory, both, seed.ravel(), 0, len(some), into)
                args = (side.images, side.maps, which, len(some), gradients)
                self.recorder.run(*args)

        share(range(0, n, LANES), work, threads)


@lru_cache(maxsize=32)
def gradient_engine(program: Program, dtype: Any, want_t: bool) -> GradientEngine:
    """The gradients of a program, compiled at the first call."""
    return GradientEngine(program, np.dtype(dtype), want_t)
