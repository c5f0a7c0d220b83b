"""The hot loop: 3 x 3 box, affine and activation of one plane, in one pass over it."""

from functools import cache
from typing import Any

from .cpu_call import views
from .cpu_duals import determinant, value
from .cpu_lanes import LANES, fma, inner, load, splat, store
from .cpu_place import place_of, plane_shape, second
from .encoding import COLUMNS, MEM, OP, PARAMETERS


@inner
def _column(W, up, mid, down, offset):
    """Sum of three rows at one pixel."""
    return (load(W, up + offset) + load(W, mid + offset)) + load(W, down + offset)


@inner
def box3(W, k, pitch, h, w, wrap, upward, zeros, copy):
    """A 3 x 3 box alone, moving the plane by a row as ``fused_layer`` does."""
    first, last = _edges(W, k, pitch, h, w, wrap, upward, zeros, copy)
    step = pitch if upward else -pitch
    for n in range(h):
        i = n if upward else h - 1 - n
        up, mid, down = _neighbours(i, h, k, pitch, first, last)
        here = _column(W, up, mid, down, 0)
        left = end = splat(W, 0.0)
        if wrap:
            left, end = _column(W, up, mid, down, (w - 1) * LANES), here
        for x in range(0, w * LANES, LANES):
            right = end
            if x < (w - 1) * LANES:
                right = _column(W, up, mid, down, x + LANES)
            store(W, mid - step + x, (left + here) + right)
            left = here
            here = right


@inner
def _neighbours(i, h, k, pitch, first, last):
    """Rows above and below row i; beyond the edges ``last`` and ``first``."""
    up = k + (i - 1) * pitch if i > 0 else last
    down = k + (i + 1) * pitch if i < h - 1 else first
    return up, k + i * pitch, down


@inner
def _edges(W, k, pitch, h, w, wrap, upward, zeros, copy):
    """Rows that stand below the last row and above the first one.

    Of a plane that wraps around, the row that is overwritten first is needed again at
    the end, from a copy.
    """
    if not wrap:
        return zeros, zeros
    first, last = k, k + (h - 1) * pitch
    source = first if upward else last
    for x in range(0, w * LANES, LANES):
        store(W, copy + x, load(W, source + x))
    return (copy, last) if upward else (first, copy)


@cache
def fused_layer(family: int, has_t: bool, want_t: bool, save: bool) -> Any:
    """The operation [Box 3x3, Affine, Activate] for a family of duals.

    The result lies one row before the plane or one row after it (the buffer has a
    spare row), so that rows still to be read are never overwritten, and no row is
    buffered. Without ``has_t`` t is zero and not read. With ``save``, what the
    activation is given is kept.
    """

    def layer(W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus):
        W, M, par, ops, mem = views(W, M, par, ops, mem, PARAMETERS, COLUMNS)
        high, wide, wrap = ops[o, OP.height], ops[o, OP.width], ops[o, OP.wrap]
        h, w = plane_shape(d0, d1, torus, high, wide)
        row1, col1, row2, col2 = place_of(d0, d1, torus)
        m1 = ops[o, OP.map] * LANES
        m2 = m1 + mem[MEM.map_pixels] * LANES
        part = high * wide * LANES
        wk, bk = splat(W, par[o, 0]), splat(W, par[o, 1])
        uk, vk = splat(W, par[o, 2]), splat(W, par[o, 3])
        zeros, copy = mem[MEM.spare], mem[MEM.copies]
        size = 2 * mem[MEM.buffer_size]
        upward = (k - mem[MEM.buffers]) % size != 0
        step = pitch if upward else -pitch
        k_first, k_last = _edges(W, k, pitch, h, w, wrap, upward, zeros, copy)
        if has_t:
            copy += pitch
            t_first, t_last = _edges(W, t, pitch, h, w, wrap, upward, zeros, copy)
        saved = mem[MEM.saves] + 2 * ops[o, OP.save] * mem[MEM.buffer_size]
        saved_t = saved + mem[MEM.buffer_size]
        for n in range(h):
            i = n if upward else h - 1 - n
            ku, km, kd = _neighbours(i, h, k, pitch, k_first, k_last)
            k_here = _column(W, ku, km, kd, 0)
            k_left = k_end = splat(W, 0.0)
            if wrap:
                k_left, k_end = _column(W, ku, km, kd, (w - 1) * LANES), k_here
            t_left = t_here = t_end = splat(W, 0.0)
            if has_t:
                tu, tm, td = _neighbours(i, h, t, pitch, t_first, t_last)
                t_here = _column(W, tu, tm, td, 0)
                if wrap:
                    t_left, t_end = _column(W, tu, tm, td, (w - 1) * LANES), t_here
            line1 = m1 + ((row1 + i) * wide + col1) * LANES
            line2 = m2 + second(row2, i, high) * wide * LANES
            for j in range(w):
                x = j * LANES
                k_right = k_end
                if j < w - 1:
                    k_right = _column(W, ku, km, kd, x + LANES)
                boxed = (k_left + k_here) + k_right
                c = fma(wk, boxed, bk)
                at1, at2 = line1 + x, line2 + second(col2, j, wide) * LANES
                det = determinant(load(M, at1), load(M, at2), c)
                new, slope = value(
                    family, c, det, M, at1, part, M, at2, part, par[o], 4
                )
                store(W, km - step + x, new)
                if save:
                    store(W, saved + i * pitch + x, c)
                k_left = k_here
                k_here = k_right
                if want_t:
                    gain = fma(uk, boxed, vk)
                    if has_t:
                        t_right = t_end
                        if j < w - 1:
                            t_right = _column(W, tu, tm, td, x + LANES)
                        gain = fma(wk, (t_left + t_here) + t_right, gain)
                        t_left = t_here
                        t_here = t_right
                    store(W, t + i * pitch - step + x, slope * gain)
                    if save:
                        store(W, saved_t + i * pitch + x, gain)
        return k - step

    return layer
