"""Rows of pairs of a fully connected network, compiled: all operations on a strip of
pairs before the next strip, so that a strip never leaves the first caches."""

import numpy as np

from .cpu_call import call
from .cpu_dense_ops import Place
from .cpu_lanes import (
    LANES,
    fma,
    larger,
    load,
    outer,
    smaller,
    splat,
    store,
    where_less,
)


@outer
def _half_distance(x, y, r, s):
    """|x r - y s|^2 / 2 in float64."""
    total = 0.0
    for c in range(x.shape[0]):
        gap = np.float64(x[c]) * r - np.float64(y[c]) * s
        total += gap * gap
    return 0.5 * total


@outer
def _defects(W, k, C, row, first, pitch, r1, r2):
    """e = 1 - c r1 r2 in [0, 2] of a strip; returns the smallest."""
    zero, one, two = splat(W, 0.0), splat(W, 1.0), splat(W, 2.0)
    least, scale, flat = two, splat(W, -r1), C.reshape(C.size)
    for x in range(0, pitch, LANES):
        c = load(flat, row * C.shape[1] + first + x)
        e = fma(c, scale * load(r2, first + x), one)
        e = smaller(larger(e, zero), two)
        least = smaller(least, e)
        store(W, k + x, e)
    store(W, 0, least)
    smallest = W[0]
    for n in range(1, LANES):
        smallest = min(smallest, W[n])
    return smallest


@outer
def _run(
    W, C, row, i, first, pitch, x1, x2, maps1, M2, r1, r2, s2, near, par, ops, mem,
    where, k, has_t, at_maps,
):  # fmt: skip
    """All values of a strip: row i of x1, given as row ``row`` of C, with the rows of
    x2 from ``first`` on. Below ``near`` the difference 1 - c has too few digits left,
    and e is formed from the distance of the rows."""
    for a in range(maps1.shape[1]):
        store(W, at_maps + a * LANES, splat(W, maps1[i, a]))
    if _defects(W, k, C, row, first, pitch, r1[i], s2) < near:
        for x in range(min(pitch, x2.shape[0] - first)):
            if W[k + x] < near:
                W[k + x] = _half_distance(x1[i], x2[first + x], r1[i], r2[first + x])
    width, torus = mem[Place.width], C.shape[1]
    for x in range(0, pitch, LANES):
        store(W, k + width + x, splat(W, 0.0))
    for o in range(ops.shape[0]):
        call(
            where[o], W, M2, par, ops, mem, o, k, has_t, pitch, at_maps, first, torus
        )  # fmt: skip


@outer
def forward_rows(
    W, C, T, start, x1, x2, maps1, M2, r1, r2, s2, near, par, ops, mem, where, k, has_t,
    at_maps, result,
):  # fmt: skip
    """Turn inner products C into the NNGP, and T into the NTK if ``has_t`` >= 0.

    Args:
        W, mem, k, at_maps: workspace and places in it (``cpu_dense_ops``).
        C, T: ``[rows, columns]``, of the rows of x1 from ``start`` on.
        x1, x2: rows of a block; ``maps1``, ``M2``: their maps, ``[rows, maps]`` and,
            flat, ``[maps, columns]``; ``r1``, ``r2``: their 1 / |x|, in float64;
            ``s2``: r2 in the dtype of C.
        par, ops, where: parameters, columns and addresses of the operations.
        result: number of the value that is the result.
    """
    width, torus = mem[Place.width], C.shape[1]
    last = maps1.shape[1] - 1
    flat_k, flat_t, one = C.reshape(C.size), T.reshape(T.size), splat(W, 1.0)
    value = k + 2 * width * result
    for row in range(C.shape[0]):
        i = start + row
        s1 = splat(W, maps1[i, last])
        for first in range(0, torus, width):
            pitch = min(width, torus - first)
            _run(
                W, C, row, i, first, pitch, x1, x2, maps1, M2, r1, r2, s2, near, par,
                ops, mem, where, k, has_t, at_maps,
            )  # fmt: skip
            at = row * torus + first
            for x in range(0, pitch, LANES):
                ss = s1 * load(M2, last * torus + first + x)
                store(flat_k, at + x, ss * (one - load(W, value + x)))
                if has_t >= 0:
                    store(flat_t, at + x, load(W, value + width + x))


@outer
def backward_rows(
    W, C, bar_k, bar_t, rows, x1, x2, maps1, M2, r1, r2, s2, near, par, ops, mem, where,
    back, k, has_t, at_maps, result, sums1, pairs,
):  # fmt: skip
    """The reverse sweep of ``forward_rows`` for rows of a block.

    C becomes -(d/de) r1 r2, the derivative in inner products at fixed norms. Nearly
    parallel rows get 0 there and are listed in ``pairs`` (row, column, d/de), whose
    entry 0 counts them. Sums over a row go to ``sums1`` ``[slots, rows]``; sums over
    rows stay in W. ``bar_k``, ``bar_t``: derivatives in the results, shaped as C.
    """
    width, bars, torus = mem[Place.width], mem[Place.bars], C.shape[1]
    slots, last = sums1.shape[0], maps1.shape[1] - 1
    one, zero, flat = splat(W, 1.0), splat(W, 0.0), C.reshape(C.size)
    flat_k, flat_t = bar_k.reshape(C.size), bar_t.reshape(C.size)
    value, acc1 = k + 2 * width * result, mem[Place.sums1]
    for i in range(rows[0], rows[1]):
        s1 = splat(W, maps1[i, last])
        for x in range(0, slots * LANES, LANES):
            store(W, acc1 + x, zero)
        for first in range(0, torus, width):
            pitch = min(width, torus - first)
            _run(
                W, C, i, i, first, pitch, x1, x2, maps1, M2, r1, r2, s2, near, par, ops,
                mem, where, k, has_t, at_maps,
            )  # fmt: skip
            for x in range(0, 2 * width * (ops.shape[0] + 1), LANES):
                store(W, k + bars + x, zero)
            at = i * torus + first
            own = acc1 + (slots - 1) * LANES
            other = mem[Place.sums2] + (slots - 1) * mem[Place.stride2] + first
            for x in range(0, pitch, LANES):
                ss = s1 * load(M2, last * torus + first + x)
                bar = load(flat_k, at + x) * ss
                grown = bar * (one - load(W, value + x))
                store(W, value + bars + x, zero - bar)
                store(W, own, load(W, own) + grown)
                store(W, other + x, load(W, other + x) + grown)
                if has_t >= 0:
                    store(W, value + bars + width + x, load(flat_t, at + x))
            for o in range(ops.shape[0] - 1, -1, -1):
                call(
                    back[o], W, M2, par, ops, mem, o, k, has_t, pitch, at_maps, first,
                    torus,
                )  # fmt: skip
            own, other = own - LANES, other - mem[Place.stride2]
            # Pairs below ``limit`` are listed, as long as there is room.
            room = pairs.shape[0] - 1 - int(pairs[0, 0]) >= pitch
            limit = splat(W, near if room else -1.0)
            for x in range(0, pitch, LANES):
                e, bar = load(W, k + x), load(W, k + bars + x)
                turn = bar * where_less(e, limit, zero - e, one - e)
                store(W, own, load(W, own) + turn)
                store(W, other + x, load(W, other + x) + turn)
                factor = splat(W, -r1[i]) * load(s2, first + x)
                store(flat, at + x, where_less(e, limit, zero, bar * factor))
            for x in range(min(pitch, x2.shape[0] - first)):
                if room and W[k + x] < near:
                    # e was a distance; so is its derivative (``near_gradients``).
                    n = int(pairs[0, 0]) + 1
                    pairs[0, 0], pairs[n, 0], pairs[n, 1] = n, i, first + x
                    pairs[n, 2] = W[k + bars + x]
        for a in range(slots):
            total = 0.0
            for n in range(LANES):
                total += W[acc1 + a * LANES + n]
            sums1[a, i] = total


@outer
def near_gradients(x1, x2, r1, r2, pairs, g1, g2):
    """Add the derivative of |x1 r1 - x2 r2|^2 / 2 in both rows at fixed norms, for
    every listed pair, to ``g1`` and ``g2``."""
    for n in range(1, int(pairs[0, 0]) + 1):
        i, j = int(pairs[n, 0]), int(pairs[n, 1])
        for c in range(x1.shape[1]):
            gap = np.float64(x1[i, c]) * r1[i] - np.float64(x2[j, c]) * r2[j]
            g1[i, c] += pairs[n, 2] * gap * r1[i]
            g2[j, c] -= pairs[n, 2] * gap * r2[j]
