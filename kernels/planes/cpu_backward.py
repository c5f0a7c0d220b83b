"""One tile, backward: planes are recomputed, kept for one plane's depth, swept back."""

from .cpu_call import call
from .cpu_forward import (
    add_plane,
    add_to_pool,
    clear,
    copy_plane,
    forward_plane,
    free_buffer,
    load_plane,
    pooled_row,
    run_ops,
    slot_base,
    weighted_copy,
)
from .cpu_lanes import LANES, fma, inner, load, outer, splat, store
from .cpu_place import place_of, plane_shape, second
from .encoding import KIND, MEM, OP, RUN, ST
from .schedule import BACKWARD, CLEAR, FORWARD


@outer
def back_ops(
    enc, calls, W, M, first, last, depth, d0, d1, torus, pitch, want_t, registers
):
    """Sweep the gradients in the buffers back over operations last - 1, ..., first.

    Returns:
        The number of saved values at the first operation.
    """
    _, ops, par, _, _, _, mem = enc
    order, where = registers[0], registers[1]
    size = mem[MEM.buffer_size]
    for o in range(last - 1, first - 1, -1):
        kind = ops[o, OP.kind]
        k = where[order[depth]]
        t = k + size if want_t else -1
        h, w = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
        if kind == KIND.add:
            free = free_buffer(order, depth)
            target = mem[MEM.buffers] + 2 * free * size
            order[depth + 1], where[free] = free, target
            for _ in range(2 if want_t else 1):
                copy_plane(W, k, target, pitch, h, w)
                k += size
                target += size
            depth += 1
        elif kind == KIND.swap:
            order[depth], order[depth - 1] = order[depth - 1], order[depth]
        elif kind == KIND.push:
            depth -= 1
            target = where[order[depth]]
            for _ in range(2 if want_t else 1):
                add_plane(W, k, target, pitch, h, w)
                k += size
                target += size
        else:
            where[order[depth]] = call(
                calls[o], W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus
            )
    return depth


@outer
def _take_from_pool(enc, W, s, r, c, h, w, pitch, want_t, registers):
    """Gradient at the exit of plane (r, c): the adjoint of ``add_to_pool``."""
    st, _, _, _, tab, _, mem = enc
    order, where = registers[0], registers[1]
    rows, cols = st[s, ST.row_groups] + r, st[s, ST.col_groups] + c
    size = mem[MEM.buffer_size]
    for value in range(st[s + 1, ST.values]):
        k = mem[MEM.buffers] + 2 * value * size
        order[value], where[value] = value, k
        for which in range(2 if want_t else 1):
            clear_plane(W, k + which * size, pitch, h, w)
        for row in range(tab[rows], tab[rows + 1], 4):
            to, part, high = pooled_row(st, tab, s + 1, tab[row], value, True)
            at = k + tab[row + 2] * pitch
            for _ in range(2 if want_t else 1):
                for run in range(tab[cols], tab[cols + 1], RUN):
                    source = to + high * tab[run] * LANES
                    source += (tab[row + 1] * tab[run + 1] + tab[run + 2]) * LANES
                    target = at + tab[run + 3] * LANES
                    span = (tab[row + 3], tab[run + 4], tab[run + 5], tab[run + 6])
                    _spread_windows(W, source, target, pitch, span)
                at += size
                to += part


@inner
def clear_plane(W, k, pitch, h, w):
    """Set a plane to zero."""
    for i in range(h):
        clear(W, k + i * pitch, w * LANES)


@inner
def _spread_windows(W, source, target, pitch, span):
    """The adjoint of adding windows."""
    rows, cols, count, step = span
    for n in range(count):
        value = load(W, source + n * LANES)
        for i in range(rows):
            x = target + n * step * LANES + i * pitch
            for j in range(cols):
                store(W, x + j * LANES, load(W, x + j * LANES) + value)


@inner
def _seed(W, mem, seed, step, values, h, w, pitch, want_t, registers):
    """Gradient at the exit of the last stage: of k, then of t.

    ``step`` is 0 where all pixels have the same gradient, else LANES; then there is one
    of k for every value, and none of t.
    """
    size = mem[MEM.buffer_size]
    for value in range(values):
        k = mem[MEM.buffers] + 2 * value * size
        registers[0, value], registers[1, value] = value, k
        for which in range(2 if want_t else 1):
            for i in range(h):
                for j in range(w):
                    at = which * LANES + ((value * h + i) * w + j) * step
                    to = k + which * size + i * pitch + j * LANES
                    store(W, to, load(seed, at))


@inner
def _to_images(W, k, pitch, h, w, X, GX, place, high, wide):
    """Gradient of both images from the one of the input plane."""
    row1, col1, row2, col2 = place
    part = high * wide * LANES
    x2 = X.shape[0] // 2
    scale = splat(W, 1.0 / (x2 // part))
    for i in range(h):
        line = k + i * pitch
        line1 = ((row1 + i) * wide + col1) * LANES
        line2 = x2 + second(row2, i, high) * wide * LANES
        for c in range(0, x2, part):
            for j in range(w):
                g = load(W, line + j * LANES) * scale
                at1 = line1 + c + j * LANES
                at2 = line2 + c + second(col2, j, wide) * LANES
                store(GX, at1, fma(g, load(X, at2), load(GX, at1)))
                store(GX, at2, fma(g, load(X, at1), load(GX, at2)))


@outer
def _back_plane(
    enc, saving, backs, W, M, X, GX, s, r, c, want_t, seed, step, registers
):
    """Run plane (r, c) forward, keeping its operations' inputs, and sweep it back."""
    st, _, _, wts, tab, _, mem = enc
    order, where = registers[0], registers[1]
    d0, d1 = tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c]
    torus, values = st[s, ST.torus], st[s, ST.values]
    first, last = st[s, ST.fused_start], st[s, ST.fused_end]
    pitch = load_plane(enc, W, X, s, r, c, want_t, order, where)
    depth = run_ops(
        enc, saving, W, M, first, last, values - 1, d0, d1, torus, pitch, want_t,
        True, registers,
    )  # fmt: skip
    h, w = plane_shape(d0, d1, torus, st[s, ST.exit_height], st[s, ST.exit_width])
    if s + 1 < st.shape[0]:
        _take_from_pool(enc, W, s, r, c, h, w, pitch, want_t, registers)
    else:
        _seed(W, mem, seed, step, depth + 1, h, w, pitch, want_t, registers)
    back_ops(
        enc, backs, W, M, first, last, depth, d0, d1, torus, pitch, want_t, registers
    )
    high, wide = st[s, ST.height], st[s, ST.width]
    h, w = plane_shape(d0, d1, torus, high, wide)
    place = place_of(d0, d1, torus)
    rows, cols = st[s, ST.row_weights], st[s, ST.col_weights]
    for value in range(values):
        k = where[order[value]]
        if s == 0:
            _to_images(W, k, pitch, h, w, X, GX, place, high, wide)
            continue
        at, part, _ = pooled_row(st, tab, s, r, value, True)
        at += h * tab[st[s, ST.col_starts] + c] * LANES
        for _ in range(2 if want_t else 1):
            weighted_copy(W, k, at, h, w, place, high, wide, wts, rows, cols)
            at += part
            k += mem[MEM.buffer_size]


@outer
def backward_tile(
    enc, calls, saving, backs, want_t, W, M, X, GX, seed, step, registers
):
    """Add gradients with respect to images to GX, and to variances to M.

    Args:
        enc, calls, W, M, X, registers: see ``forward_tile``.
        saving, backs: addresses of operations that keep what the derivatives need,
            and of the derivatives.
        GX: like X.
        seed, step: gradient of the sum over planes, see ``_seed``.
    """
    st, _, _, _, _, events, mem = enc
    clear(W, mem[MEM.spare], mem[MEM.copies] - mem[MEM.spare])
    for e in range(events.shape[0]):
        kind, s, r = events[e, 0], events[e, 1], events[e, 2]
        if kind == CLEAR:
            slot = events[e, 3]
            start = slot_base(st, s, slot, False)
            clear(W, start, slot_base(st, s, slot + 1, False) - start)
            continue
        for c in range(st[s, ST.cols]):
            if kind == FORWARD:
                pitch = forward_plane(enc, calls, W, M, X, s, r, c, want_t, registers)
                add_to_pool(enc, W, s, r, c, pitch, want_t, registers)
            elif kind == BACKWARD:
                _back_plane(
                    enc, saving, backs, W, M, X, GX, s, r, c, want_t,
                    seed, step, registers,
                )  # fmt: skip
