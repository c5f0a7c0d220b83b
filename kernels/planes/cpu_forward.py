"""One tile, forward: all planes of ``LANES`` pairs of images, in scheduled order."""

from .cpu_call import call
from .cpu_lanes import LANES, fma, inner, load, outer, splat, store
from .cpu_place import place_of, plane_shape, second
from .encoding import KIND, MEM, OP, RUN, ST
from .schedule import CLEAR, FORWARD


@inner
def clear(W, start, size):
    """Set ``size`` numbers to zero."""
    for x in range(start, start + size, LANES):
        store(W, x, splat(W, 0.0))


@inner
def slot_base(st, s, slot, gradient):
    """Where a slot begins in the workspace."""
    size = 2 * st[s, ST.values] * st[s, ST.height] * st[s, ST.plane_row] * LANES
    start = st[s, ST.gradient_slots] if gradient else st[s, ST.slots]
    return start + slot * size


@inner
def _inner_products(W, k, pitch, h, w, X, place, high, wide):
    """k[p] <- x1[p] . x2[p + d] / channels, from both ``[channels, H, W, LANES]``."""
    row1, col1, row2, col2 = place
    part = high * wide * LANES
    x2 = X.shape[0] // 2
    scale = splat(W, 1.0 / (x2 // part))
    for i in range(h):
        line1 = ((row1 + i) * wide + col1) * LANES
        line2 = second(row2, i, high) * wide * LANES
        for j in range(w):
            at1, at2 = line1 + j * LANES, line2 + second(col2, j, wide) * LANES
            total = load(X, at1) * load(X, x2 + at2)
            if x2 == 3 * part:
                # Colour images, without a loop.
                total = fma(load(X, at1 + part), load(X, x2 + at2 + part), total)
                c = 2 * part
                total = fma(load(X, at1 + c), load(X, x2 + at2 + c), total)
            else:
                for c in range(part, x2, part):
                    total = fma(load(X, at1 + c), load(X, x2 + at2 + c), total)
            store(W, k + i * pitch + j * LANES, total * scale)


@inner
def weighted_copy(W, source, target, h, w, place, high, wide, wts, rows, cols):
    """Copy a pooled plane, times the weights of both pixels."""
    row1, col1, row2, col2 = place
    for i in range(h):
        row = wts[rows + row1 + i] * wts[rows + second(row2, i, high)]
        for j in range(w):
            col = wts[cols + col1 + j] * wts[cols + second(col2, j, wide)]
            x = (i * w + j) * LANES
            store(W, target + x, load(W, source + x) * splat(W, row * col))


@outer
def load_plane(enc, W, X, s, r, c, want_t, order, where):
    """The plane (r, c) at the entry of stage s, every value into its own buffer."""
    st, _, _, wts, tab, _, mem = enc
    d0, d1 = tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c]
    high, wide, torus = st[s, ST.height], st[s, ST.width], st[s, ST.torus]
    h, w = plane_shape(d0, d1, torus, high, wide)
    place = place_of(d0, d1, torus)
    rows, cols = st[s, ST.row_weights], st[s, ST.col_weights]
    size = mem[MEM.buffer_size]
    for value in range(st[s, ST.values]):
        k = mem[MEM.buffers] + 2 * value * size
        order[value], where[value] = value, k
        if s == 0:
            _inner_products(W, k, w * LANES, h, w, X, place, high, wide)
            if want_t and st[s, ST.clear_t]:
                clear(W, k + size, h * w * LANES)
        else:
            at, part, _ = pooled_row(st, tab, s, r, value, False)
            at += h * tab[st[s, ST.col_starts] + c] * LANES
            for _ in range(2 if want_t else 1):
                weighted_copy(W, at, k, h, w, place, high, wide, wts, rows, cols)
                at += part
                k += size
    return w * LANES


@outer
def run_ops(
    enc, calls, W, M, first, last, depth, d0, d1, torus, pitch, want_t, save, registers
):
    """Run operations on the plane in the buffers.

    With ``save``, what activations and normalisations are given is kept.

    ``registers[0, n]`` is the buffer of the n-th value, the current one last;
    ``registers[1, b]`` is where k of buffer b begins, t follows ``buffer_size`` later.

    Returns:
        The number of saved values left.
    """
    st, ops, par, _, _, _, mem = enc
    order, where = registers[0], registers[1]
    size = mem[MEM.buffer_size]
    for o in range(first, last):
        kind = ops[o, OP.kind]
        k = where[order[depth]]
        t = k + size if want_t else -1
        h, w = plane_shape(d0, d1, torus, ops[o, OP.height], ops[o, OP.width])
        if kind == KIND.push:
            _push(W, mem, pitch, h, w, want_t, order, where, depth)
            depth += 1
        elif kind == KIND.swap:
            order[depth], order[depth - 1] = order[depth - 1], order[depth]
        elif kind == KIND.add:
            other = where[order[depth - 1]]
            add_plane(W, k, other, pitch, h, w)
            if want_t:
                add_plane(W, t, other + size, pitch, h, w)
            depth -= 1
        else:
            if save and (kind == KIND.dual or kind == KIND.normalize):
                target = mem[MEM.saves] + 2 * ops[o, OP.save] * size
                copy_plane(W, k, target, pitch, h, w)
                if want_t:
                    copy_plane(W, t, target + size, pitch, h, w)
            where[order[depth]] = call(
                calls[o], W, M, par, ops, mem, o, k, t, pitch, d0, d1, torus
            )
    return depth


@inner
def copy_plane(W, source, target, pitch, h, w):
    """Copy a plane."""
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            store(W, target + x, load(W, source + x))


@inner
def add_plane(W, source, target, pitch, h, w):
    """Add a plane to another."""
    for i in range(h):
        for x in range(i * pitch, i * pitch + w * LANES, LANES):
            store(W, target + x, load(W, target + x) + load(W, source + x))


@inner
def free_buffer(order, depth):
    """The first buffer that holds no value."""
    free = depth + 1
    for candidate in range(depth + 1, -1, -1):
        used = False
        for n in range(depth + 1):
            used = used or order[n] == candidate
        if not used:
            free = candidate
    return free


@inner
def _push(W, mem, pitch, h, w, want_t, order, where, depth):
    """Copy the current plane into a buffer that is not in use."""
    free = free_buffer(order, depth)
    source = where[order[depth]]
    target = mem[MEM.buffers] + 2 * free * mem[MEM.buffer_size]
    order[depth + 1], where[free] = free, target
    for _ in range(2 if want_t else 1):
        copy_plane(W, source, target, pitch, h, w)
        source += mem[MEM.buffer_size]
        target += mem[MEM.buffer_size]


@outer
def add_to_pool(enc, W, s, r, c, pitch, want_t, registers):
    """Add the finished plane (r, c) of stage s into the planes of the next stage."""
    st, _, _, _, tab, _, mem = enc
    order, where = registers[0], registers[1]
    rows, cols = st[s, ST.row_groups] + r, st[s, ST.col_groups] + c
    for value in range(st[s + 1, ST.values]):
        k = where[order[value]]
        for row in range(tab[rows], tab[rows + 1], 4):
            to, part, h = pooled_row(st, tab, s + 1, tab[row], value, False)
            at = k + tab[row + 2] * pitch
            for _ in range(2 if want_t else 1):
                for run in range(tab[cols], tab[cols + 1], RUN):
                    target = to + h * tab[run] * LANES
                    target += (tab[row + 1] * tab[run + 1] + tab[run + 2]) * LANES
                    source = at + tab[run + 3] * LANES
                    span = (tab[row + 3], tab[run + 4], tab[run + 5], tab[run + 6])
                    _add_windows(W, source, target, pitch, span)
                at += mem[MEM.buffer_size]
                to += part


@inner
def pooled_row(st, tab, s, r, value, gradient):
    """Where a row of planes of a value begins, the size of k in it, and its height."""
    slots = st[s, ST.gradient_slot_of] if gradient else st[s, ST.slot_of]
    base = slot_base(st, s, tab[slots + r], gradient)
    d0 = tab[st[s, ST.row_list] + r]
    h = st[s, ST.height] - (0 if st[s, ST.torus] else abs(d0))
    part = h * st[s, ST.plane_row] * LANES
    return base + 2 * value * part, part, h


@inner
def _add_windows(W, source, target, pitch, span):
    """Add windows of ``rows`` by ``cols`` pixels, ``step`` apart."""
    rows, cols, count, step = span
    for n in range(count):
        total = load(W, target + n * LANES)
        for i in range(rows):
            x = source + n * step * LANES + i * pitch
            total = total + load(W, x)
            for j in range(1, cols):
                total = total + load(W, x + j * LANES)
        store(W, target + n * LANES, total)


@inner
def _read_out(W, k, pitch, h, w, spare, sums, which):
    """Add a plane to the ``LANES`` float64 sums."""
    for i in range(h):
        total = splat(W, 0.0)
        for x in range(0, w * LANES, LANES):
            total = total + load(W, k + i * pitch + x)
        store(W, spare, total)
        for lane in range(LANES):
            sums[which, lane] += W[spare + lane]


@outer
def forward_plane(enc, calls, W, M, X, s, r, c, want_t, registers):
    """Load a plane and run its stage; its pitch."""
    st, _, _, _, tab, _, _ = enc
    order, where = registers[0], registers[1]
    pitch = load_plane(enc, W, X, s, r, c, want_t, order, where)
    d0, d1 = tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c]
    first, last = st[s, ST.fused_start], st[s, ST.fused_end]
    depth, torus = st[s, ST.values] - 1, st[s, ST.torus]
    run_ops(
        enc, calls, W, M, first, last, depth, d0, d1, torus, pitch, want_t, False,
        registers,
    )  # fmt: skip
    return pitch


@outer
def forward_tile(enc, calls, want_t, W, M, X, registers, sums):
    """Sums over the planes of the last stage.

    Args:
        enc: ``Encoding.arrays``.
        calls: addresses of the operations.
        W: workspace of ``MEM.total`` numbers.
        M, X: maps and images of both sides in lanes.
        registers: int64 ``[2, MEM.registers]``, overwritten. Afterwards it tells where
            the last plane is.
        sums: ``[2, LANES]`` float64; k and t are added to it.
    """
    st, _, _, _, tab, events, mem = enc
    end = st.shape[0] - 1
    clear(W, mem[MEM.spare], mem[MEM.copies] - mem[MEM.spare])
    for e in range(events.shape[0]):
        kind, s, r, slot = events[e, 0], events[e, 1], events[e, 2], events[e, 3]
        if kind == CLEAR:
            start = slot_base(st, s, slot, False)
            clear(W, start, slot_base(st, s, slot + 1, False) - start)
        if kind != FORWARD:
            continue
        for c in range(st[s, ST.cols]):
            pitch = forward_plane(enc, calls, W, M, X, s, r, c, want_t, registers)
            if s < end:
                add_to_pool(enc, W, s, r, c, pitch, want_t, registers)
                continue
            d0, d1 = tab[st[s, ST.row_list] + r], tab[st[s, ST.col_list] + c]
            high, wide = st[s, ST.exit_height], st[s, ST.exit_width]
            h, w = plane_shape(d0, d1, st[s, ST.torus], high, wide)
            k = registers[1, registers[0, 0]]
            for which in range(2 if want_t else 1):
                _read_out(W, k, pitch, h, w, mem[MEM.copies], sums, which)
                k += mem[MEM.buffer_size]
