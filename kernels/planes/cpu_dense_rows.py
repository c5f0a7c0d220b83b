"""Rows of pairs of a fully connected network, compiled: every operation on a strip of
pairs before the next strip, so that a strip never leaves the first caches."""

import numpy as np

from .cpu_call import call
from .cpu_dense_ops import Place
from .cpu_lanes import LANES, fma, larger, load, outer, smaller, splat, store
from .dense_plan import COLUMN


@outer
def _splat_maps(W, at, maps, i):
    """The maps of row i, each in LANES equal copies."""
    for a in range(maps.shape[0]):
        store(W, at + a * LANES, splat(W, maps[a, i]))


@outer
def _half_distance(x, y, r, s):
    """|x r - y s|^2 / 2 in float64."""
    total = 0.0
    for c in range(x.shape[0]):
        gap = np.float64(x[c]) * r - np.float64(y[c]) * s
        total += gap * gap
    return 0.5 * total


@outer
def _defects(W, k, C, i, first, pitch, r1, r2, j0):
    """e = 1 - c r1 r2 of a strip, in [0, 2]; returns the smallest e."""
    zero, one, two = splat(W, 0.0), splat(W, 1.0), splat(W, 2.0)
    least = one
    row, scale = i * C.shape[1], splat(W, -r1[i])
    flat = C.reshape(C.size)
    for x in range(0, pitch, LANES):
        c = load(flat, row + first + x)
        e = fma(c, scale * load(r2, j0 + first + x), one)
        e = smaller(larger(e, zero), two)
        least = smaller(least, e)
        store(W, k + x, e)
    store(W, 0, least)
    smallest = W[0]
    for n in range(1, LANES):
        smallest = min(smallest, W[n])
    return smallest


@outer
def start_strip(W, k, C, i, i0, first, pitch, r1, r2, x1, x2, j0, near):
    """e of a strip from inner products; from distances where rows are nearly parallel.

    Below ``near`` the difference 1 - c has too few digits left. Row numbers into x1
    and x2 are offset by i0 and j0, columns of C by neither.
    """
    if _defects(W, k, C, i, first, pitch, r1, r2, 0) >= near:
        return
    for x in range(min(pitch, x2.shape[0] - j0 - first)):
        if W[k + x] < near:
            j = first + x
            W[k + x] = _half_distance(x1[i0 + i], x2[j0 + j], r1[i], r2[j])


@outer
def forward_rows(
    W, C, K, T, x1, x2, i0, j0, rows, maps1, M2, r1, r2, near, par, ops, mem, where, k,
    has_t, at_maps, result,
):  # fmt: skip
    """K and T (``has_t``) of rows of a block, from the inner products C of its rows.

    Args:
        W, mem, k, at_maps: workspace and places in it (``cpu_dense_ops``).
        C: inner products ``[rows of the block, columns]``, columns padded to LANES.
        K, T: results, of the block.
        x1, x2, i0, j0: inputs, and the block's first row of both.
        rows: which rows of the block.
        maps1, M2: maps of the rows ``[maps, rows]`` and, flat, of the columns.
        r1, r2: 1 / |x|, zero for zero rows.
        par, ops, where: parameters, columns and addresses of the operations.
        result: number of the value that is the result.
    """
    width = mem[Place.width]
    columns, torus = K.shape[1], C.shape[1]
    last = (maps1.shape[0] - 1) * torus
    one = splat(W, 1.0)
    for i in range(rows[0], rows[1]):
        _splat_maps(W, at_maps, maps1, i)
        s1 = splat(W, maps1[maps1.shape[0] - 1, i])
        for first in range(0, torus, width):
            pitch = min(width, torus - first)
            start_strip(W, k, C, i, i0, first, pitch, r1, r2, x1, x2, j0, near)
            for x in range(0, pitch, LANES):
                store(W, k + width + x, splat(W, 0.0))
            for o in range(ops.shape[0]):
                call(
                    where[o], W, M2, par, ops, mem, o, k, has_t, pitch, at_maps, first,
                    torus,
                )  # fmt: skip
            value = k + 2 * width * result
            for x in range(0, pitch, LANES):
                ss = s1 * load(M2, last + first + x)
                store(W, value + x, ss * (one - load(W, value + x)))
            for x in range(min(pitch, columns - first)):
                K[i, first + x] = W[value + x]
            if has_t >= 0:
                for x in range(min(pitch, columns - first)):
                    T[i, first + x] = W[value + width + x]


@outer
def backward_rows(
    W, C, gK, gT, x1, x2, i0, j0, rows, maps1, M2, r1, r2, near, par, ops, mem, where,
    back, k, has_t, at_maps, result, sums1, pairs,
):  # fmt: skip
    """The reverse sweep of ``forward_rows``.

    C becomes minus the derivative in e times r1 r2: the derivative in inner products
    at fixed norms. Nearly parallel rows get 0 there, and are listed in ``pairs``
    (row, column, derivative in e), whose entry 0 counts them. Sums over a row go to
    ``sums1`` ``[slots, rows]``, sums over rows stay in W.
    """
    width = mem[Place.width]
    bars = mem[Place.bars]
    acc1, acc2, stride2 = mem[Place.sums1], mem[Place.sums2], mem[Place.stride2]
    columns, torus = gK.shape[1], C.shape[1]
    slots = sums1.shape[0]
    last = (maps1.shape[0] - 1) * torus
    one, zero = splat(W, 1.0), splat(W, 0.0)
    flat = C.reshape(C.size)
    for i in range(rows[0], rows[1]):
        _splat_maps(W, at_maps, maps1, i)
        s1 = splat(W, maps1[maps1.shape[0] - 1, i])
        for x in range(0, slots * LANES, LANES):
            store(W, acc1 + x, zero)
        for first in range(0, torus, width):
            pitch = min(width, torus - first)
            inside = min(pitch, columns - first)
            start_strip(W, k, C, i, i0, first, pitch, r1, r2, x1, x2, j0, near)
            for x in range(0, pitch, LANES):
                store(W, k + width + x, zero)
            for o in range(ops.shape[0]):
                call(
                    where[o], W, M2, par, ops, mem, o, k, has_t, pitch, at_maps, first,
                    torus,
                )  # fmt: skip
            for x in range(0, 2 * width * (ops.shape[0] + 1), LANES):
                store(W, k + bars + x, zero)
            value = k + 2 * width * result
            for x in range(inside):
                W[value + bars + x] = gK[i, first + x]
            if has_t >= 0:
                for x in range(inside):
                    W[value + bars + width + x] = gT[i, first + x]
            at = acc1 + (slots - 1) * LANES
            there = acc2 + (slots - 1) * stride2 + first
            for x in range(0, pitch, LANES):
                ss = s1 * load(M2, last + first + x)
                bar = load(W, value + bars + x)
                store(W, value + bars + x, zero - bar * ss)
                grown = bar * ss * (one - load(W, value + x))
                store(W, at, load(W, at) + grown)
                store(W, there + x, load(W, there + x) + grown)
            for o in range(ops.shape[0] - 1, -1, -1):
                call(
                    back[o], W, M2, par, ops, mem, o, k, has_t, pitch, at_maps, first,
                    torus,
                )  # fmt: skip
            at -= LANES
            there -= stride2
            for x in range(0, pitch, LANES):
                e, bar = load(W, k + x), load(W, k + bars + x)
                turn = bar * (one - e)
                store(W, at, load(W, at) + turn)
                store(W, there + x, load(W, there + x) + turn)
                factor = splat(W, -r1[i]) * load(r2, first + x)
                store(flat, i * torus + first + x, bar * factor)
            for x in range(inside):
                if W[k + x] < near and pairs[0, 0] < pairs.shape[0] - 1:
                    # e was a distance; so is its derivative (``near_gradients``).
                    n = int(pairs[0, 0]) + 1
                    bar = W[k + bars + x]
                    pairs[0, 0] = n
                    pairs[n, 0], pairs[n, 1], pairs[n, 2] = i, first + x, bar
                    C[i, first + x] = 0
                    W[at] -= bar
                    W[there + x] -= bar
        for a in range(slots):
            total = 0.0
            for n in range(LANES):
                total += W[acc1 + a * LANES + n]
            sums1[a, i] = total


@outer
def near_gradients(x1, x2, i0, j0, r1, r2, pairs, g1, g2):
    """Add the derivative of |x1 r1 - x2 r2|^2 / 2 in both rows at fixed norms, for
    every listed pair, to ``g1`` and ``g2``, rows of the block."""
    for n in range(1, int(pairs[0, 0]) + 1):
        i, j = int(pairs[n, 0]), int(pairs[n, 1])
        for c in range(x1.shape[1]):
            gap = np.float64(x1[i0 + i, c]) * r1[i] - np.float64(x2[j0 + j, c]) * r2[j]
            g1[i, c] += pairs[n, 2] * gap * r1[i]
            g2[j, c] -= pairs[n, 2] * gap * r2[j]
