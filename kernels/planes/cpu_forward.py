"""One tile, forward: all planes of ``LANES`` pairs of images, in scheduled order."""

import numpy as np
from numba import njit

from .cpu_lanes import LANES, load, splat, store
from .cpu_layer import box_affine_rectify
from .cpu_maps import gather_images, gather_maps, record_variances
from .cpu_plane import (
    add,
    affine,
    box,
    clear,
    copy,
    inner_products,
    normalize,
    rectify,
    second,
)
from .encoding import KIND, MEM, OP, ST
from .schedule import CLEAR, FORWARD


@njit(nogil=True, cache=True)
def gather(enc, X1, X2, V1, V2, i1, i2, last_maps, X, M):
    """Copy the images of a tile and the maps of its operations into lanes."""
    st, ops, par, _, _, _, mem = enc
    gather_images(X1, i1, X, 0)
    gather_images(X2, i2, X, X1.shape[1] * X1.shape[2] * LANES)
    shift = 2 * mem[MEM.map_pixels] * LANES
    for s in range(st.shape[0] if last_maps else st.shape[0] - 1):
        first, last = st[s, ST.plain_start], st[s, ST.plain_end]
        gather_maps(ops, par, first, last, V1, i1, M, 0)
        gather_maps(ops, par, first, last, V2, i2, M, shift)


@njit(inline="always")
def place_of(d0, d1, torus, height, width):
    """First pixel of a plane in both images, and their shape."""
    if torus:
        return 0, 0, d0, d1, height, width
    return max(0, -d0), max(0, -d1), max(0, d0), max(0, d1), height, width


@njit(inline="always")
def plane_shape(d0, d1, torus, height, width):
    """Pixels of a plane."""
    if torus:
        return height, width
    return height - abs(d0), width - abs(d1)


@njit(nogil=True, cache=True)
def slot_plane(st, tab, base, s, r, c, value):
    """Where k of plane (r, c) lies in a slot at ``base``; t follows ``part`` later."""
    d0 = tab[st[s, ST.row_list] + r]
    h = st[s, ST.height] - (0 if st[s, ST.torus] else abs(d0))
    part = h * st[s, ST.plane_row] * LANES
    return base + 2 * value * part + h * tab[st[s, ST.col_starts] + c] * LANES, part


@njit(nogil=True, cache=True)
def slot_base(st, s, slot, gradient):
    """Where a slot begins in the workspace."""
    size = 2 * st[s, ST.values] * st[s, ST.height] * st[s, ST.plane_row] * LANES
    start = st[s, ST.gradient_slots] if gradient else st[s, ST.slots]
    return start + slot * size


@njit(nogil=True, cache=True)
def load_plane(enc, W, X, s, r, c, slot, want_t, order, where):
    """The plane (r, c) at the entry of stage s, every value into its own buffer."""
    st, ops, par, wts, tab, _, mem = enc
    d0, d1 = tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c]
    high, wide, torus = st[s, ST.height], st[s, ST.width], st[s, ST.torus]
    h, w = plane_shape(d0, d1, torus, high, wide)
    pitch = w * LANES
    place = place_of(d0, d1, torus, high, wide)
    for value in range(st[s, ST.values]):
        k = mem[MEM.buffers] + 2 * value * mem[MEM.buffer_size]
        order[value], where[value] = value, k
        t = k + mem[MEM.buffer_size]
        if s == 0:
            x2 = X.shape[0] // 2
            channels = x2 // (high * wide * LANES)
            inner_products(W, k, pitch, h, w, X, 0, x2, channels, place)
            if want_t:
                clear(W, t, h * pitch)
            continue
        source, part = slot_plane(
            st, tab, slot_base(st, s, slot, False), s, r, c, value
        )
        weights = (wts, st[s, ST.row_weights], st[s, ST.col_weights])
        _weighted_copy(W, source, k, h, w, place, weights)
        if want_t:
            _weighted_copy(W, source + part, t, h, w, place, weights)
    return h, w, pitch


@njit(nogil=True, cache=True)
def _weighted_copy(W, source, target, h, w, place, weights):
    """Copy a pooled plane, times the weights of both pixels."""
    row1, col1, row2, col2, high, wide = place
    wts, rows, cols = weights
    for i in range(h):
        row = wts[rows + row1 + i] * wts[rows + second(row2, i, high)]
        for j in range(w):
            col = wts[cols + col1 + j] * wts[cols + second(col2, j, wide)]
            x = (i * w + j) * LANES
            store(W, target + x, load(W, source + x) * splat(W, row * col))


@njit(nogil=True, cache=True)
def run_ops(enc, W, M, span, d, torus, pitch, want_t, record, V, which, order, where):
    """Run the operations of a stage on the plane in the buffers.

    ``order[n]`` is the buffer of the n-th value, the current one last; ``where[b]`` is
    the first row of k in buffer b, and t follows ``buffer_size`` later.

    Returns:
        The number of saved values left; the current plane is in ``order`` at it.
    """
    st, ops, par, wts, tab, _, mem = enc
    size = mem[MEM.buffer_size]
    d0, d1 = d
    depth = span[2] - 1
    for o in range(span[0], span[1]):
        kind = ops[o, OP.kind]
        buffer = order[depth]
        k = where[buffer]
        t = k + size if want_t else -1
        high, wide = ops[o, OP.height], ops[o, OP.width]
        h, w = plane_shape(d0, d1, torus, high, wide)
        place = place_of(d0, d1, torus, high, wide)
        m1 = 2 * ops[o, OP.pixel] * LANES
        m2 = m1 + 2 * mem[MEM.map_pixels] * LANES
        part = high * wide * LANES
        if record and kind in (KIND.rectify, KIND.dual, KIND.normalize):
            record_variances(W, k, pitch, h, w, V, which, ops[o, OP.pixel])
            gather_maps(ops, par, o, o + 1, V, which, M, 0)
            gather_maps(ops, par, o, o + 1, V, which, M, m2 - m1)
        if kind == KIND.fused:
            up = k != mem[MEM.buffers] + 2 * buffer * size
            maps = (m1, m2, part, place)
            _fused(enc, W, M, o, k, t, pitch, up, h, w, maps)
            where[buffer] = k - pitch if up else k + pitch
        elif kind == KIND.box:
            _box(W, ops, o, k, mem[MEM.scratch], pitch, d0, d1, torus)
            if want_t and ops[o, OP.has_t]:
                _box(W, ops, o, t, mem[MEM.scratch], pitch, d0, d1, torus)
        elif kind == KIND.affine:
            affine(W, k, t, ops[o, OP.has_t], pitch, h, w, par[o])
        elif kind == KIND.rectify:
            rectify(W, k, t, pitch, h, w, M, m1, m2, part, place, par[o])
        elif kind == KIND.normalize:
            normalize(W, k, t, pitch, h, w, M, m1, m2, place)
        elif kind == KIND.push:
            _push(W, mem, pitch, h, w, want_t, order, where, depth)
            depth += 1
        elif kind == KIND.swap:
            order[depth], order[depth - 1] = order[depth - 1], order[depth]
        elif kind == KIND.add:
            other = where[order[depth - 1]]
            add(W, k, other, pitch, h, w)
            if want_t:
                add(W, t, other + size, pitch, h, w)
            depth -= 1
    return depth


@njit(nogil=True, cache=True)
def _fused(enc, W, M, o, k, t, pitch, up, h, w, maps):
    _, ops, par, _, _, _, mem = enc
    m1, m2, part, place = maps
    wrap, spare = ops[o, OP.wrap], (mem[MEM.spare], mem[MEM.copies])
    if t < 0:
        box_affine_rectify(
            W, k, None, None, pitch, up, spare, h, w, wrap, M, m1, m2, part, place,
            par[o],
        )  # fmt: skip
    elif ops[o, OP.has_t]:
        box_affine_rectify(
            W, k, t, None, pitch, up, spare, h, w, wrap, M, m1, m2, part, place, par[o]
        )
    else:
        box_affine_rectify(
            W, k, None, t, pitch, up, spare, h, w, wrap, M, m1, m2, part, place, par[o]
        )


@njit(nogil=True, cache=True)
def _box(W, ops, o, k, scratch, pitch, d0, d1, torus):
    inside = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
    outside = plane_shape(d0, d1, torus, ops[o, OP.out_height], ops[o, OP.out_width])
    before = (ops[o, OP.before0], ops[o, OP.before1])
    after = (ops[o, OP.after0], ops[o, OP.after1])
    box(W, k, k, scratch, pitch, inside, outside, before, after, ops[o, OP.wrap])


@njit(nogil=True, cache=True)
def _push(W, mem, pitch, h, w, want_t, order, where, depth):
    """Copy the current plane into the first buffer that is not in use."""
    size = mem[MEM.buffer_size]
    free = 0
    for _ in range(depth + 1):
        for n in range(depth + 1):
            if order[n] == free:
                free += 1
    source = where[order[depth]]
    target = mem[MEM.buffers] + 2 * free * size
    copy(W, source, target, pitch, h, w)
    if want_t:
        copy(W, source + size, target + size, pitch, h, w)
    order[depth + 1], where[free] = free, target


@njit(nogil=True, cache=True)
def scatter(enc, W, s, r, c, pitch, want_t, order, where):
    """Add the finished plane (r, c) of stage s into the planes of the next stage."""
    st, ops, par, wts, tab, _, mem = enc
    rows, cols = st[s, ST.row_groups] + r, st[s, ST.col_groups] + c
    for value in range(st[s + 1, ST.values]):
        k = where[order[value]]
        for row in range(tab[rows], tab[rows + 1], 4):
            slot = tab[st[s + 1, ST.slot_of] + tab[row]]
            base = slot_base(st, s + 1, slot, False)
            for col in range(tab[cols], tab[cols + 1], 4):
                to, part = slot_plane(st, tab, base, s + 1, tab[row], tab[col], value)
                starts = st[s + 1, ST.col_starts] + tab[col]
                wide = tab[starts + 1] - tab[starts]
                to += (tab[row + 1] * wide + tab[col + 1]) * LANES
                at = k + tab[row + 2] * pitch + tab[col + 2] * LANES
                _add_window(W, at, to, pitch, tab[row + 3], tab[col + 3])
                if want_t:
                    at += mem[MEM.buffer_size]
                    _add_window(W, at, to + part, pitch, tab[row + 3], tab[col + 3])


@njit(inline="always")
def _add_window(W, source, target, pitch, h, w):
    total = load(W, target)
    for i in range(h):
        for x in range(0, w * LANES, LANES):
            total = total + load(W, source + i * pitch + x)
    store(W, target, total)


@njit(nogil=True, cache=True)
def read_out(W, k, pitch, h, w, spare, sums):
    """Add a plane to the ``LANES`` float64 sums."""
    for i in range(h):
        total = splat(W, 0.0)
        for x in range(0, w * LANES, LANES):
            total = total + load(W, k + i * pitch + x)
        store(W, spare, total)
        for lane in range(LANES):
            sums[lane] += W[spare + lane]


@njit(nogil=True, cache=True)
def forward_tile(enc, X1, X2, V1, V2, i1, i2, want_t, record, W, M, X, sums):
    """Sums over the planes of the last stage, for the pairs ``i1[l], i2[l]``.

    Args:
        enc: ``Encoding.arrays``.
        X1, X2: images ``[B, channels, pixels]``.
        V1, V2: variances ``[B, map_pixels]``.
        record: whether the pairs are (x, x) and the last stage fills in ``V1``.
        W, M, X: workspaces for planes, maps and images.
        sums: ``[2, LANES]`` float64; k and t are added to it.
    """
    st, ops, par, wts, tab, events, mem = enc
    gather(enc, X1, X2, V1, V2, i1, i2, not record, X, M)
    order, where = _registers(mem)
    last = st.shape[0] - 1
    clear(W, mem[MEM.spare], mem[MEM.scratch] - mem[MEM.spare])
    for e in range(events.shape[0]):
        kind, s, r, slot = events[e, 0], events[e, 1], events[e, 2], events[e, 3]
        if kind == CLEAR:
            start = slot_base(st, s, slot, False)
            clear(W, start, slot_base(st, s, slot + 1, False) - start)
        elif kind == FORWARD:
            for c in range(st[s, ST.cols]):
                recording = record and s == last
                h, w, pitch = forward_plane(
                    enc, W, M, X, s, r, c, slot, want_t, recording, V1, i1, order, where
                )
                if s < last:
                    scatter(enc, W, s, r, c, pitch, want_t, order, where)
                else:
                    k = where[order[0]]
                    spare = mem[MEM.copies]
                    read_out(W, k, pitch, h, w, spare, sums[0])
                    if want_t:
                        size = mem[MEM.buffer_size]
                        read_out(W, k + size, pitch, h, w, spare, sums[1])


@njit(nogil=True, cache=True)
def forward_plane(enc, W, M, X, s, r, c, slot, want_t, record, V, which, order, where):
    """Load a plane and run its stage; its shape at the exit, and its pitch."""
    st, ops, par, wts, tab, _, mem = enc
    d = (tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c])
    torus = st[s, ST.torus]
    _, _, pitch = load_plane(enc, W, X, s, r, c, slot, want_t, order, where)
    span = (st[s, ST.fused_start], st[s, ST.fused_end], st[s, ST.values])
    if record:
        span = (st[s, ST.plain_start], st[s, ST.plain_end], st[s, ST.values])
    run_ops(enc, W, M, span, d, torus, pitch, want_t, record, V, which, order, where)
    h, w = plane_shape(d[0], d[1], torus, st[s, ST.exit_height], st[s, ST.exit_width])
    return h, w, pitch


@njit(nogil=True, cache=True)
def _registers(mem):
    """Arrays for the order and the place of the buffers."""
    buffers = (mem[MEM.saves] - mem[MEM.buffers]) // (2 * mem[MEM.buffer_size])
    return np.zeros(buffers + 1, np.int64), np.zeros(buffers + 1, np.int64)
