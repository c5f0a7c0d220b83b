"""The derivatives of the operations on one plane; see ``cpu_ops.py``.

The plane at ``k`` (and ``t``) holds the gradient after the operation and is overwritten
by the one before it. What the operation was given lies in the saved planes. Gradients
with respect to the variances are added up in M, behind the maps.
"""

from functools import cache
from typing import Any

import numpy as np

from .cpu_call import address, views
from .cpu_duals import determinant, partials
from .cpu_lanes import LANES, fma, inner, load, splat, store
from .cpu_layer import box3
from .cpu_ops import box
from .cpu_place import place_of, plane_shape, second
from .encoding import COLUMNS, KIND, MEM, OP, PARAMETERS, Encoding


def _box_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    """The adjoint of a box is the box with ``before`` and ``after`` exchanged."""
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    inside = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
    outside = plane_shape(d0, d1, torus, ops[o, OP.out_height], ops[o, OP.out_width])
    before = (ops[o, OP.before0], ops[o, OP.before1])
    after = (ops[o, OP.after0], ops[o, OP.after1])
    shift = t - k if ops[o, OP.has_t] and t >= 0 else 0
    for plane in range(k, k + shift + 1, max(shift, 1)):
        scratch = mem[MEM.scratch]
        wrap = ops[o, OP.wrap]
        box(W, plane, plane, scratch, pitch, outside, inside, after, before, wrap)
    return k


def _affine_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    h, w = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
    wk, uk = splat(W, par[o, 0]), splat(W, par[o, 2])
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            new = wk * load(W, k + x)
            if t >= 0:
                gradient = load(W, t + x)
                new = fma(uk, gradient, new)
                store(W, t + x, wk * gradient)
            store(W, k + x, new)
    return k


@inner
def _accumulate(M, at, value):
    store(M, at, load(M, at) + value)


@cache
def _activation_back(family: int, fused: bool) -> Any:
    """The derivative of [Activate], or of [Box 3x3, Affine, Activate]."""

    def activate(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        high, wide = ops[o, OP.height], ops[o, OP.width]
        h, w = plane_shape(d0, d1, torus, high, wide)
        row1, col1, row2, col2 = place_of(d0, d1, torus)
        m1 = ops[o, OP.map] * LANES
        m2 = m1 + mem[MEM.map_pixels] * LANES
        g1 = (2 * mem[MEM.map_pixels] + ops[o, OP.pixel]) * LANES
        g2 = g1 + mem[MEM.pixels] * LANES
        part = high * wide * LANES
        saved = mem[MEM.saves] + 2 * ops[o, OP.save] * mem[MEM.buffer_size]
        saved_t = saved + mem[MEM.buffer_size]
        wk, uk = splat(W, par[o, 0]), splat(W, par[o, 2])
        for i in range(h):
            line1 = ((row1 + i) * wide + col1) * LANES
            line2 = second(row2, i, high) * wide * LANES
            for j in range(w):
                x = i * pitch + j * LANES
                at1 = line1 + j * LANES
                at2 = line2 + second(col2, j, wide) * LANES
                c = load(W, saved + x)
                p, q = load(M, m1 + at1), load(M, m2 + at2)
                _, slope, to_c, slope_c, to_p, to_q, slope_p, slope_q = partials(
                    family, c, determinant(p, q, c), M, m1 + at1, part,
                    M, m2 + at2, part, par[o], 4,
                )  # fmt: skip
                gk = load(W, k + x)
                new, along1, along2 = gk * to_c, gk * to_p, gk * to_q
                if t >= 0:
                    gt = load(W, t + x)
                    gain = gt * load(W, saved_t + x)
                    new = fma(gain, slope_c, new)
                    along1 = fma(gain, slope_p, along1)
                    along2 = fma(gain, slope_q, along2)
                    gt = gt * slope
                    if fused:
                        new = fma(uk, gt, wk * new)
                        gt = wk * gt
                    store(W, t + x, gt)
                elif fused:
                    new = wk * new
                store(W, k + x, new)
                _accumulate(M, g1 + at1, along1)
                _accumulate(M, g2 + at2, along2)
        if not fused:
            return k
        wrap, zeros, copy = ops[o, OP.wrap], mem[MEM.spare], mem[MEM.copies]
        upward = (k - mem[MEM.buffers]) % (2 * mem[MEM.buffer_size]) != 0
        box3(W, k, pitch, h, w, wrap, upward, zeros, copy)
        if t >= 0 and ops[o, OP.has_t]:
            box3(W, t, pitch, h, w, wrap, upward, zeros, copy)
        return k - pitch if upward else k + pitch

    return activate


def _normalize_back(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
    W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
    high, wide = ops[o, OP.height], ops[o, OP.width]
    h, w = plane_shape(d0, d1, torus, high, wide)
    row1, col1, row2, col2 = place_of(d0, d1, torus)
    m1 = ops[o, OP.map] * LANES
    m2 = m1 + mem[MEM.map_pixels] * LANES
    g1 = (2 * mem[MEM.map_pixels] + ops[o, OP.pixel]) * LANES
    g2 = g1 + mem[MEM.pixels] * LANES
    saved = mem[MEM.saves] + 2 * ops[o, OP.save] * mem[MEM.buffer_size]
    half = splat(W, -0.5)
    for i in range(h):
        line1 = ((row1 + i) * wide + col1) * LANES
        line2 = second(row2, i, high) * wide * LANES
        for j in range(w):
            x = i * pitch + j * LANES
            at1 = line1 + j * LANES
            at2 = line2 + second(col2, j, wide) * LANES
            r1, r2 = load(M, m1 + at1), load(M, m2 + at2)
            factor = r1 * r2
            gk = load(W, k + x)
            both = gk * load(W, saved + x)
            store(W, k + x, gk * factor)
            if t >= 0:
                gt = load(W, t + x)
                both = fma(gt, load(W, saved + mem[MEM.buffer_size] + x), both)
                store(W, t + x, gt * factor)
            # The derivative of v^(-1/2) is -1/2 v^(-3/2).
            _accumulate(M, g1 + at1, half * both * factor * r1 * r1)
            _accumulate(M, g2 + at2, half * both * factor * r2 * r2)
    return k


def back_addresses(encoding: Encoding, dtype: np.dtype) -> np.ndarray:
    """The address of the derivative of every operation, 0 for those on the stack."""
    plain = {
        KIND.box: _box_back,
        KIND.affine: _affine_back,
        KIND.normalize: _normalize_back,
    }
    found = np.zeros(len(encoding.ops), np.int64)
    for o, op in enumerate(encoding.ops):
        kind = int(op[OP.kind])
        if kind in (KIND.dual, KIND.fused):
            function = _activation_back(int(op[OP.family]), kind == KIND.fused)
            found[o] = address(function, dtype)
        elif kind in plain:
            found[o] = address(plain[kind], dtype)
    return found
