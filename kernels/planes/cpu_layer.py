"""The hot loop: 3 x 3 box, affine and rectifier of one plane, in one pass over it."""

from numba import njit

from .cpu_arccosine import arccosine
from .cpu_lanes import LANES, fma, load, splat, store


@njit(inline="always")
def _column(W, up, mid, down, offset):
    """Sum of three rows at one pixel."""
    return (load(W, up + offset) + load(W, mid + offset)) + load(W, down + offset)


@njit(inline="always")
def _around(W, up, mid, down, w, wrap):
    """Column sums left of the first pixel, at it, and right of the last one."""
    first = _column(W, up, mid, down, 0)
    if wrap:
        return _column(W, up, mid, down, (w - 1) * LANES), first, first
    return splat(W, 0.0), first, splat(W, 0.0)


@njit(nogil=True, cache=True)
def box_affine_rectify(
    W, k0, t0, write_t, pitch, ascending, spare, h, w, wrap, M, m1, m2, part, place, par
):
    """Overwrite a plane by its image under [Box 3x3, Affine, Activate(ABRelu)].

    The result lies one row before the plane (``ascending``) or one row after it, so
    that the rows still to be read are never overwritten and nothing is buffered.

    Args:
        W: workspace; row r of the plane starts at ``k0 + r pitch``.
        k0, t0: first row of k and of t; t0 None while t is zero.
        write_t: where t goes if t0 is None; None when no t is wanted.
        spare: offsets of a row of zeros and of two rows for copies.
        h, w: pixels; ``wrap``: whether the box wraps around.
        M: maps; p of both images from ``m1`` and ``m2``, 1 / sqrt(p) ``part`` later.
        place: first row and column of the plane in both maps, and the map's shape.
        par: w, b, u, v of the affine map; g, m of the rectifier.
    """
    wk, bk, uk, vk = (
        splat(W, par[0]),
        splat(W, par[1]),
        splat(W, par[2]),
        splat(W, par[3]),
    )
    g, m = splat(W, par[4]), splat(W, par[5])
    row1, col1, row2, col2, high, wide = place
    step = pitch if ascending else -pitch
    begin = 0 if ascending else h - 1
    zeros, copies = spare
    k_edge_up = k_edge_down = t_edge_up = t_edge_down = zeros
    if wrap:
        # The row that is overwritten first is needed again at the end.
        k_copy, t_copy = copies, copies + pitch
        for x in range(0, w * LANES, LANES):
            store(W, k_copy + x, load(W, k0 + begin * pitch + x))
            if t0 is not None:
                store(W, t_copy + x, load(W, t0 + begin * pitch + x))
        k_edge_up, k_edge_down = k0 + (h - 1) * pitch, k_copy
        if t0 is not None:
            t_edge_up, t_edge_down = t0 + (h - 1) * pitch, t_copy
        if not ascending:
            k_edge_up, k_edge_down = k_copy, k0
            if t0 is not None:
                t_edge_up, t_edge_down = t_copy, t0
    for n in range(h):
        i = n if ascending else h - 1 - n
        k_mid = k0 + i * pitch
        k_up = k_mid - pitch if i > 0 else k_edge_up
        k_down = k_mid + pitch if i < h - 1 else k_edge_down
        k_left, k_here, k_last = _around(W, k_up, k_mid, k_down, w, wrap)
        if t0 is not None:
            t_mid = t0 + i * pitch
            t_up = t_mid - pitch if i > 0 else t_edge_up
            t_down = t_mid + pitch if i < h - 1 else t_edge_down
            t_left, t_here, t_last = _around(W, t_up, t_mid, t_down, w, wrap)
        line1 = m1 + ((row1 + i) * wide + col1) * LANES
        there = row2 + i
        if there >= high:
            there -= high
        line2 = m2 + there * wide * LANES
        for j in range(w):
            x = j * LANES
            k_right = k_last
            if j < w - 1:
                k_right = _column(W, k_up, k_mid, k_down, x + LANES)
            boxed = (k_left + k_here) + k_right
            k = fma(wk, boxed, bk)
            there = col2 + j
            if there >= wide:
                there -= wide
            at1, at2 = line1 + x, line2 + there * LANES
            ij = load(M, at1 + part) * load(M, at2 + part)
            k, slope, _ = arccosine(W, k, load(M, at1), load(M, at2), ij, g, m)
            store(W, k_mid - step + x, k)
            k_left = k_here
            k_here = k_right
            if t0 is not None:
                t_right = t_last
                if j < w - 1:
                    t_right = _column(W, t_up, t_mid, t_down, x + LANES)
                t = fma(wk, (t_left + t_here) + t_right, fma(uk, boxed, vk))
                store(W, t_mid - step + x, slope * t)
                t_left = t_here
                t_here = t_right
            elif write_t is not None:
                t = fma(uk, boxed, vk)
                store(W, write_t + i * pitch - step + x, slope * t)
