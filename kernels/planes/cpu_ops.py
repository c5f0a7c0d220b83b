"""Operations on one plane, each a pass over its rows; see ``cpu_call.address``.

A plane is h rows of w pixels of LANES numbers; row r of k starts at ``k + r pitch``.
Offsets count numbers of the workspace W. An operation returns the new ``k``.
"""

from functools import cache
from typing import Any

import numpy as np

from .cpu_call import address, views
from .cpu_duals import determinant, value
from .cpu_lanes import LANES, fma, inner, load, splat, store
from .cpu_layer import fused_layer
from .cpu_place import place_of, plane_shape, second
from .encoding import COLUMNS, KIND, MEM, OP, PARAMETERS, Encoding


@inner
def box(W, source, target, scratch, pitch, shape_in, shape_out, before, after, wrap):
    """target[i] = sum of source[r], i - before <= r <= i + after, on both axes.

    Rows outside are zero, or wrap around. The additions come in the order of the hot
    loop, so that both give the same bits.
    """
    h_in, w_in = shape_in
    h_out, w_out = shape_out
    for i in range(h_out):
        for x in range(0, w_in * LANES, LANES):
            total = splat(W, 0.0)
            for r in range(i - before[0], i + after[0] + 1):
                if wrap:
                    total = total + load(W, source + (r % h_in) * pitch + x)
                elif 0 <= r < h_in:
                    total = total + load(W, source + r * pitch + x)
            store(W, scratch + i * pitch + x, total)
    for i in range(h_out):
        line = scratch + i * pitch
        for j in range(w_out):
            total = splat(W, 0.0)
            for c in range(j - before[1], j + after[1] + 1):
                if wrap:
                    total = total + load(W, line + (c % w_in) * LANES)
                elif 0 <= c < w_in:
                    total = total + load(W, line + c * LANES)
            store(W, target + i * pitch + j * LANES, total)


def _box_k(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    inside = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
    outside = plane_shape(d0, d1, torus, ops[o, OP.out_height], ops[o, OP.out_width])
    before = (ops[o, OP.before0], ops[o, OP.before1])
    after = (ops[o, OP.after0], ops[o, OP.after1])
    shift = t - k if ops[o, OP.has_t] and t >= 0 else 0
    for plane in range(k, k + shift + 1, max(shift, 1)):
        scratch = mem[MEM.scratch]
        wrap = ops[o, OP.wrap]
        box(W, plane, plane, scratch, pitch, inside, outside, before, after, wrap)
    return k


def _affine(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    h, w = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
    wk, bk = splat(W, par[o, 0]), splat(W, par[o, 1])
    uk, vk = splat(W, par[o, 2]), splat(W, par[o, 3])
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            old = load(W, k + x)
            store(W, k + x, fma(wk, old, bk))
            if t >= 0:
                new = fma(uk, old, vk)
                if ops[o, OP.has_t]:
                    new = fma(wk, load(W, t + x), new)
                store(W, t + x, new)
    return k


@cache
def activation(family: int) -> Any:
    """The operation [Activate] for a family of duals."""

    def activate(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        high, wide = ops[o, OP.height], ops[o, OP.width]
        h, w = plane_shape(d0, d1, torus, high, wide)
        row1, col1, row2, col2 = place_of(d0, d1, torus)
        m1 = ops[o, OP.map] * LANES
        m2 = m1 + mem[MEM.map_pixels] * LANES
        part = high * wide * LANES
        for i in range(h):
            line1 = m1 + ((row1 + i) * wide + col1) * LANES
            line2 = m2 + second(row2, i, high) * wide * LANES
            for j in range(w):
                x = i * pitch + j * LANES
                at1 = line1 + j * LANES
                at2 = line2 + second(col2, j, wide) * LANES
                c = load(W, k + x)
                det = determinant(load(M, at1), load(M, at2), c)
                new, slope = value(
                    family, c, det, M, at1, part, M, at2, part, par[o], 4
                )
                store(W, k + x, new)
                if t >= 0:
                    store(W, t + x, slope * load(W, t + x))
        return k

    return activate


def _normalize(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    high, wide = ops[o, OP.height], ops[o, OP.width]
    h, w = plane_shape(d0, d1, torus, high, wide)
    row1, col1, row2, col2 = place_of(d0, d1, torus)
    m1 = ops[o, OP.map] * LANES
    m2 = m1 + mem[MEM.map_pixels] * LANES
    for i in range(h):
        line1 = m1 + ((row1 + i) * wide + col1) * LANES
        line2 = m2 + second(row2, i, high) * wide * LANES
        for j in range(w):
            x = i * pitch + j * LANES
            factor = load(M, line1 + j * LANES)
            factor = factor * load(M, line2 + second(col2, j, wide) * LANES)
            store(W, k + x, load(W, k + x) * factor)
            if t >= 0:
                store(W, t + x, load(W, t + x) * factor)
    return k


def addresses(
    encoding: Encoding, dtype: np.dtype, want_t: bool, save: bool = False
) -> np.ndarray:
    """The address of every operation, 0 for those on the stack."""
    plain = {KIND.box: _box_k, KIND.affine: _affine, KIND.normalize: _normalize}
    found = np.zeros(len(encoding.ops), np.int64)
    for o, op in enumerate(encoding.ops):
        kind, family = int(op[OP.kind]), int(op[OP.family])
        if kind == KIND.fused:
            function = fused_layer(family, bool(op[OP.has_t] and want_t), want_t, save)
        elif kind == KIND.dual:
            function = activation(family)
        elif kind in plain:
            function = plain[kind]
        else:
            continue
        found[o] = address(function, dtype)
    return found
