r"""The reverse sweep through the operations of ``dense_ops.py``, on a tile of pairs.

It gives the derivative in e of the inputs, and for every operation sums over the
columns of derivatives in something that depends on the row alone: the logarithm of a
standard deviation, the angle of a point on the circle, or a variance, as
``Plan.pull_back`` takes them. BE and BT are tuples: the derivatives in E and T so far.
"""

import triton
import triton.language as tl

from .dense_ops import (
    ADD,
    AFFINE,
    AFFINE_RECTIFY,
    DUAL,
    FAMILY,
    NORMALIZE,
    OTHER,
    SCALE_RECTIFY,
    SLOT,
    SOURCE,
    STEP,
    cast,
    circle,
    standard_deviations,
)
from .duals import dual_maps, partials
from .elementary import arc, inverse, inverse_std


@triton.jit
def increased(tiles, at: tl.constexpr, more):
    """A tuple of tiles, one of them increased."""
    out = ()
    for i in tl.static_range(len(tiles)):
        if i == at:
            out = out + (tiles[i] + more,)
        else:
            out = out + (tiles[i],)
    return out


@triton.jit
def _gather(sums, n, slot, tile, i):
    """Store the sum of a tile over its columns."""
    tl.store(sums + slot * n + i, tl.sum(tile, 1), i < n)


@triton.jit
def _points(p1, p2, w: tl.constexpr, q1, q2, dtype: tl.constexpr):
    """Points (a1, b1), (a2, b2) of the circle and the step (da, db) between them, which
    is formed before rounding: nearly equal rows are only a rounding apart."""
    a1, b1 = circle(p1 * w, q1)
    a2, b2 = circle(p2 * w, q2)
    da, db = (a2 - a1).to(dtype), (b2 - b1).to(dtype)
    return a1.to(dtype), b1.to(dtype), a2.to(dtype), b2.to(dtype), da, db


@triton.jit
def _linear_back(
    E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS: tl.constexpr, PAR: tl.constexpr,
    ALIVE: tl.constexpr, o: tl.constexpr, WANT_T: tl.constexpr,
):  # fmt: skip
    source: tl.constexpr = OPS[o][SOURCE]
    e, t, p1, p2 = E[source], T[source], P1[source], P2[source]
    bar_e, bar_t = BE[o + 1], BT[o + 1]
    ss = tl.sqrt(p1).to(e.dtype) * tl.sqrt(p2).to(e.dtype)
    kept = ss * (1.0 - e)
    out = e
    if OPS[o][STEP] == AFFINE or OPS[o][STEP] == AFFINE_RECTIFY:
        b = tl.zeros_like(p1) + PAR[o][6]
        a1, b1, a2, b2, da, db = _points(
            p1, p2, PAR[o][0], b, tl.zeros_like(p2) + PAR[o][6], e.dtype
        )
        out = a1 * a2 * e + 0.5 * (da * da + db * db)
    if OPS[o][STEP] >= SCALE_RECTIFY:
        theta, _ = arc(out)
        bar_e = bar_e * (1.0 - theta * PAR[o][5])
        if WANT_T:
            new = t * PAR[o][0] + (kept * PAR[o][1] + PAR[o][2])
            # d theta / de = 1 / sin(theta); 0 instead of infinity.
            steep = bar_t * new * inverse(tl.sqrt(out * (2.0 - out))) * PAR[o][3]
            if OPS[o][STEP] == SCALE_RECTIFY:
                alive = (A1 | ALIVE[source]) & (A2 | ALIVE[source])
                steep = tl.where(alive, steep, 0.0)
            bar_e = bar_e - steep
            bar_t = bar_t * (PAR[o][4] - theta * PAR[o][3])
    before = bar_e
    if OPS[o][STEP] == AFFINE or OPS[o][STEP] == AFFINE_RECTIFY:
        turn = a1 * db - b1 * da
        before = bar_e * (a1 * a2)
        _gather(sums, n, OPS[o][SLOT] + 1, bar_e * (b1 * a2 * e + turn), i)
    if WANT_T:
        bar_k = bar_t * PAR[o][1]
        before = before - bar_k * ss
        _gather(sums, n, OPS[o][SLOT], bar_k * kept, i)
        BT = increased(BT, source, bar_t * PAR[o][0])
    return increased(BE, source, before), BT


@triton.jit
def _dual_back(
    E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS: tl.constexpr, PAR: tl.constexpr,
    ALIVE: tl.constexpr, o: tl.constexpr, WANT_T: tl.constexpr,
):  # fmt: skip
    source: tl.constexpr = OPS[o][SOURCE]
    e, p1, p2 = E[source], P1[source], P2[source]
    bar_e, bar_t = BE[o + 1], BT[o + 1]
    s1 = standard_deviations(p1, A1 | ALIVE[source], OPS, o, e.dtype)
    s2 = standard_deviations(p2, A2 | ALIVE[source], OPS, o, e.dtype)
    M = cast(dual_maps(p1, OPS[o][FAMILY], PAR, o), e.dtype)
    N = cast(dual_maps(p2, OPS[o][FAMILY], PAR, o), e.dtype)
    ss = s1 * s2
    c, det = ss * (1.0 - e), ss * ss * (e * (2.0 - e))
    new, slope, k_c, slope_c, k_p, _, slope_p, _ = partials(
        c, det, M, N, OPS[o][FAMILY], PAR, o
    )
    scale = inverse_std(P1[o + 1]).to(e.dtype) * inverse_std(P2[o + 1]).to(e.dtype)
    bar_c, bar_p = -bar_e * scale * k_c, -bar_e * scale * k_p
    if WANT_T:
        gain = bar_t * T[source]
        bar_c, bar_p = bar_c + gain * slope_c, bar_p + gain * slope_p
        BT = increased(BT, source, bar_t * slope)
    _gather(sums, n, OPS[o][SLOT], bar_c * c, i)
    _gather(sums, n, OPS[o][SLOT] + 1, bar_p, i)
    _gather(sums, n, OPS[o][SLOT] + 2, bar_e * (new * scale), i)
    return increased(BE, source, -bar_c * ss), BT


@triton.jit
def _add_back(
    E, P1, P2, BE, BT, sums, n, i, OPS: tl.constexpr, o: tl.constexpr,
    WANT_T: tl.constexpr,
):  # fmt: skip
    source: tl.constexpr = OPS[o][SOURCE]
    other: tl.constexpr = OPS[o][OTHER]
    e, f, bar = E[source], E[other], BE[o + 1]
    a1, b1, a2, b2, da, db = _points(
        P1[source], P2[source], 1.0, P1[other], P2[other], e.dtype
    )
    turn = a1 * db - b1 * da
    _gather(sums, n, OPS[o][SLOT], bar * (b1 * a2 * e - a1 * b2 * f + turn), i)
    BE = increased(increased(BE, source, bar * (a1 * a2)), other, bar * (b1 * b2))
    if WANT_T:
        BT = increased(increased(BT, source, BT[o + 1]), other, BT[o + 1])
    return BE, BT


@triton.jit
def back_step(
    E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS: tl.constexpr, PAR: tl.constexpr,
    ALIVE: tl.constexpr, o: tl.constexpr, WANT_T: tl.constexpr,
):  # fmt: skip
    """BE and BT after operation o; its sums are stored."""
    if OPS[o][STEP] == DUAL:
        return _dual_back(
            E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS, PAR, ALIVE, o, WANT_T
        )  # fmt: skip
    elif OPS[o][STEP] == ADD:
        return _add_back(E, P1, P2, BE, BT, sums, n, i, OPS, o, WANT_T)
    elif OPS[o][STEP] == NORMALIZE:
        source: tl.constexpr = OPS[o][SOURCE]
        if WANT_T:
            r1, r2 = (
                inverse_std(P1[source] + PAR[o][0]),
                inverse_std(P2[source] + PAR[o][0]),
            )
            _gather(sums, n, OPS[o][SLOT], BT[o + 1] * T[o + 1], i)
            shrink = r1.to(T[source].dtype) * r2.to(T[source].dtype)
            BT = increased(BT, source, BT[o + 1] * shrink)
        return increased(BE, source, BE[o + 1]), BT
    else:
        return _linear_back(
            E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS, PAR, ALIVE, o, WANT_T
        )  # fmt: skip
