"""Operations on one plane in the workspace, each a pass over its rows.

A plane is h rows of w pixels of LANES numbers; row r starts at ``k + r pitch``. Offsets
count elements of the workspace W. An offset of t below zero means that there is no t.
"""

from numba import njit

from .cpu_arccosine import arccosine
from .cpu_lanes import LANES, fma, load, splat, store


@njit(nogil=True, cache=True)
def clear(W, start, size):
    """Set ``size`` elements to zero."""
    for x in range(start, start + size, LANES):
        store(W, x, splat(W, 0.0))


@njit(nogil=True, cache=True)
def copy(W, source, target, pitch, h, w):
    """Copy a plane."""
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            store(W, target + x, load(W, source + x))


@njit(nogil=True, cache=True)
def add(W, source, target, pitch, h, w):
    """Add a plane to another."""
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            store(W, target + x, load(W, target + x) + load(W, source + x))


@njit(nogil=True, cache=True)
def box(W, source, target, scratch, pitch, shape_in, shape_out, before, after, wrap):
    """target[i] = sum of source[r], i - before <= r <= i + after, on both axes.

    Rows outside are zero, or wrap around. The order of the additions is that of the
    hot loop: along columns first, upwards.
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
        for j in range(w_out):
            total = splat(W, 0.0)
            line = scratch + i * pitch
            for c in range(j - before[1], j + after[1] + 1):
                if wrap:
                    total = total + load(W, line + (c % w_in) * LANES)
                elif 0 <= c < w_in:
                    total = total + load(W, line + c * LANES)
            store(W, target + i * pitch + j * LANES, total)


@njit(nogil=True, cache=True)
def affine(W, k, t, has_t, pitch, h, w, par):
    """t <- w t + u k + v, k <- w k + b; t counts as zero unless ``has_t``."""
    wk, bk = splat(W, par[0]), splat(W, par[1])
    uk, vk = splat(W, par[2]), splat(W, par[3])
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            old = load(W, k + x)
            store(W, k + x, fma(wk, old, bk))
            if t >= 0:
                new = fma(uk, old, vk)
                if has_t:
                    new = fma(wk, load(W, t + x), new)
                store(W, t + x, new)


@njit(inline="always")
def second(start, step, size):
    """Index of the partner of pixel ``step`` of a plane, which may wrap around."""
    index = start + step
    return index - size if index >= size else index


@njit(nogil=True, cache=True)
def rectify(W, k, t, pitch, h, w, M, m1, m2, part, place, par):
    """t <- t k_dot, k <- k(p, q, k) of a rectifier; see ``box_affine_rectify``."""
    g, m = splat(W, par[4]), splat(W, par[5])
    row1, col1, row2, col2, high, wide = place
    for i in range(h):
        line1 = m1 + ((row1 + i) * wide + col1) * LANES
        line2 = m2 + second(row2, i, high) * wide * LANES
        for j in range(w):
            x = i * pitch + j * LANES
            at1 = line1 + j * LANES
            at2 = line2 + second(col2, j, wide) * LANES
            p, q = load(M, at1), load(M, at2)
            ij = load(M, at1 + part) * load(M, at2 + part)
            value, slope, _ = arccosine(W, load(W, k + x), p, q, ij, g, m)
            store(W, k + x, value)
            if t >= 0:
                store(W, t + x, slope * load(W, t + x))


@njit(nogil=True, cache=True)
def normalize(W, k, t, pitch, h, w, M, m1, m2, place):
    """Multiply k and t by the maps of both images."""
    row1, col1, row2, col2, high, wide = place
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


@njit(nogil=True, cache=True)
def inner_products(W, k, pitch, h, w, X, x1, x2, channels, place):
    """k[p] <- x1[p] . x2[p + d] / channels, from images ``[channels, H, W, LANES]``."""
    row1, col1, row2, col2, high, wide = place
    part = high * wide * LANES
    scale = splat(W, 1.0 / channels)
    for i in range(h):
        line1 = x1 + ((row1 + i) * wide + col1) * LANES
        line2 = x2 + second(row2, i, high) * wide * LANES
        for j in range(w):
            at1 = line1 + j * LANES
            at2 = line2 + second(col2, j, wide) * LANES
            total = splat(W, 0.0)
            for c in range(channels):
                total = fma(load(X, at1 + c * part), load(X, at2 + c * part), total)
            store(W, k + i * pitch + j * LANES, total * scale)
