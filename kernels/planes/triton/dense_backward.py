r"""The pull-back of fully connected kernels in x1, in three kernels.

With c = x1 . x2 and r = 1 / |x|, ``sweep_kernel`` gives the derivative in
e = 1 - c r1 r2 and sums over the columns, ``rows_kernel`` turns the sums into a factor
for each row, and ``pull_kernel`` forms the gradient

.. math:: \bar x_1 = G x_2 + (r_1^2 S + 2 \bar p / d) x_1, \quad G = -\bar e r_1 r_2,

S the sum of e-bar (1 - e) over x2, p-bar the derivative in the variance of the input.
Nearly parallel rows would cancel in it. Their e was formed from a distance, and so is
its derivative, e-bar (x1 r1 - x2 r2) r1. Nothing is added atomically.
"""

import triton
import triton.language as tl

from .dense_back_ops import back_step, increased
from .dense_forward import TINY
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
    circle,
    forward_values,
    row_step,
)
from .duals import dual_maps, partials
from .elementary import inverse_std


@triton.jit
def _positive(squares, d):
    """Squared norms, a small number for a zero row."""
    return tl.where(squares > 0, squares, TINY * d)


@triton.jit
def _entry(norms1, norms2, i, j, n, m, d):
    """Squared norms of the rows ``[BM, 1]`` and columns ``[1, BN]`` of a tile, and
    which of them were not zero."""
    squares1 = tl.load(norms1 + i, i < n, 1.0)[:, None]
    squares2 = tl.load(norms2 + j, j < m, 1.0)[None, :]
    A1, A2 = squares1 > 0, squares2 > 0
    return _positive(squares1, d), _positive(squares2, d), A1, A2


@triton.jit
def _variances(p, OPS: tl.constexpr, PAR: tl.constexpr):
    """The variances of all values, from that of the input."""
    P = (p,)
    for o in tl.static_range(len(OPS)):
        P = P + (row_step(P, OPS, PAR, o),)
    return P


@triton.jit
def sweep_kernel(
    defects, norms1, norms2, bar_k, bar_t, far, near, flags, sums, n, m, d, shift,
    OPS: tl.constexpr, PAR: tl.constexpr, ALIVE: tl.constexpr, RESULT: tl.constexpr,
    SLOTS: tl.constexpr, SAME: tl.constexpr, WANT_K: tl.constexpr,
    WANT_T: tl.constexpr, WIDE: tl.constexpr, NEAR: tl.constexpr, BM: tl.constexpr,
    BN: tl.constexpr,
):  # fmt: skip
    """The reverse sweep on a tile of pairs.

    Args:
        defects: ``[n, m]``, e of the inputs, by ``gram_kernel``.
        norms1, norms2: squared norms, float64.
        bar_k, bar_t: cotangents ``[n, m]``, read if WANT_K and WANT_T.
        far: ``[n, m]``, set to G, 0 for nearly parallel pairs.
        near: ``[n, m]``, set to e-bar of nearly parallel pairs, else 0.
        flags: ``[row tiles, column tiles]``, set to whether a tile has such a pair.
        sums: ``[column tiles, SLOTS, n]``, float64 zeros, set to the sums of a tile.
        shift, SAME, WIDE, NEAR: as of ``gram_kernel``.
    """
    columns = tl.cdiv(m, BN)
    row, column = tl.program_id(0) // columns, tl.program_id(0) % columns
    i, j = row * BM + tl.arange(0, BM), column * BN + tl.arange(0, BN)
    inside = (i < n)[:, None] & (j < m)[None, :]
    at = i.to(tl.int64)[:, None] * m + j[None, :]
    e = tl.load(defects + at, inside, 1.0)
    squares1, squares2, A1, A2 = _entry(norms1, norms2, i, j, n, m, d)
    parallel = e < NEAR
    close = parallel & inside
    if SAME:
        # A row is at no distance from itself.
        close = close & ((i + shift)[:, None] != j[None, :])
    found = tl.max(tl.max(close.to(tl.int32), 1), 0)
    tl.store(flags + row * columns + column, found)
    if WIDE:
        e = e.to(tl.float64)
    E, T, _, _ = forward_values(
        e, squares1 / d, squares2 / d, A1, A2, OPS, PAR, ALIVE, WANT_T
    )
    # Norms are loaded again: with those of above the compiler would see that the layers
    # are computed again, and keep all that it has of them in registers.
    squares1, squares2, A1, A2 = _entry(norms1, norms2, i, j, n, m, d)
    P1, P2 = _variances(squares1 / d, OPS, PAR), _variances(squares2 / d, OPS, PAR)
    sums += column.to(tl.int64) * SLOTS * n
    BE, BT = (tl.zeros_like(e),), (tl.zeros_like(e),)
    for _ in tl.static_range(len(OPS)):
        BE, BT = BE + (tl.zeros_like(e),), BT + (tl.zeros_like(e),)
    if WANT_T:
        BT = increased(BT, RESULT, tl.load(bar_t + at, inside, 0.0).to(e.dtype))
    if WANT_K:
        ss = tl.sqrt(P1[RESULT]).to(e.dtype) * tl.sqrt(P2[RESULT]).to(e.dtype)
        bar = tl.load(bar_k + at, inside, 0.0).to(e.dtype) * ss
        BE = increased(BE, RESULT, -bar)
        grown = tl.sum(bar * (1.0 - E[RESULT]), 1)
        tl.store(sums + (SLOTS - 1) * n + i, grown, i < n)
    for back in tl.static_range(len(OPS)):
        BE, BT = back_step(
            E, T, P1, P2, A1, A2, BE, BT, sums, n, i, OPS, PAR, ALIVE,
            len(OPS) - 1 - back, WANT_T,
        )  # fmt: skip
    bar = tl.where(inside, BE[0], 0.0)
    turn = tl.sum(bar * tl.where(parallel, -e, 1.0 - e), 1)
    tl.store(sums + (SLOTS - 2) * n + i, turn, i < n)
    factor = (inverse_std(squares1) * inverse_std(squares2)).to(e.dtype)
    dtype: tl.constexpr = far.dtype.element_ty
    tl.store(far + at, tl.where(parallel, 0.0, -bar * factor).to(dtype), inside)
    tl.store(near + at, tl.where(close, bar, 0.0).to(dtype), inside)


@triton.jit
def _pulled_row(
    P, bars, sums, n, i, OPS: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr
):
    """The derivatives in the variances, ``bars``, before operation o; see
    ``Plan.pull_back``."""
    source: tl.constexpr = OPS[o][SOURCE]
    p, bar = P[source], bars[o + 1]
    own = tl.load(sums + OPS[o][SLOT] * n + i, i < n, 0.0)
    half = inverse_std(p) * inverse_std(p) / 2
    if OPS[o][STEP] == NORMALIZE:
        square = inverse_std(p + PAR[o][0]) * inverse_std(p + PAR[o][0])
        return increased(
            bars, source, bar * square * square * PAR[o][0] - own * square / 2
        )
    elif OPS[o][STEP] == ADD:
        other: tl.constexpr = OPS[o][OTHER]
        q = P[other]
        a, b = circle(p, q)
        turn = own * a * b
        bars = increased(bars, source, bar + turn * half)
        return increased(bars, other, bar - turn * inverse_std(q) * inverse_std(q) / 2)
    elif OPS[o][STEP] == DUAL:
        M = dual_maps(p, OPS[o][FAMILY], PAR, o)
        _, _, k_c, _, k_p, k_q, _, _ = partials(
            p, tl.zeros_like(p), M, M, OPS[o][FAMILY], PAR, o
        )
        along = tl.load(sums + (OPS[o][SLOT] + 1) * n + i, i < n, 0.0)
        shrunk = tl.load(sums + (OPS[o][SLOT] + 2) * n + i, i < n, 0.0)
        bar = bar + shrunk * inverse_std(P[o + 1]) * inverse_std(P[o + 1]) / 2
        return increased(bars, source, bar * (k_c + k_p + k_q) + along + own * half)
    else:
        if OPS[o][STEP] >= SCALE_RECTIFY:
            bar = bar * PAR[o][4]
        more = bar * PAR[o][0] + own * half
        if OPS[o][STEP] == AFFINE or OPS[o][STEP] == AFFINE_RECTIFY:
            a, b = circle(p * PAR[o][0], tl.zeros_like(p) + PAR[o][6])
            turn = tl.load(sums + (OPS[o][SLOT] + 1) * n + i, i < n, 0.0)
            more = more + turn * a * b * half
        return increased(bars, source, more)


@triton.jit
def rows_kernel(
    norms, sums, factors, n, d, OPS: tl.constexpr, PAR: tl.constexpr,
    RESULT: tl.constexpr, SLOTS: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The factor of every row in its own gradient, ``[n]``, from ``[SLOTS, n]`` sums;
    all in float64."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    squares = _positive(tl.load(norms + i, i < n, 1.0), d)
    P, bars = _variances(squares / d, OPS, PAR), (tl.zeros_like(squares),)
    for _ in tl.static_range(len(OPS)):
        bars = bars + (tl.zeros_like(squares),)
    last = tl.load(sums + (SLOTS - 1) * n + i, i < n, 0.0)
    half = inverse_std(P[RESULT]) * inverse_std(P[RESULT]) / 2
    bars = increased(bars, RESULT, last * half)
    for back in tl.static_range(len(OPS)):
        bars = _pulled_row(P, bars, sums, n, i, OPS, PAR, len(OPS) - 1 - back)
    turn = tl.load(sums + (SLOTS - 2) * n + i, i < n, 0.0)
    tl.store(factors + i, turn / squares + bars[0] * 2 / d, i < n)


@triton.jit
def pull_kernel(
    far, near, flags, x1, x2, norms1, norms2, factors, out, n, m, d, columns,
    PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    FLAG_ROWS: tl.constexpr, FLAG_COLUMNS: tl.constexpr,
):  # fmt: skip
    """A tile of the gradient ``out`` ``[n, d]``.

    Args:
        far, near, flags: by ``sweep_kernel``, on tiles of BM / FLAG_ROWS rows and
            FLAG_COLUMNS columns, of which there are ``columns``.
        norms1, norms2, factors: float64; the last by ``rows_kernel``.
    """
    dtype: tl.constexpr = x1.dtype.element_ty
    row = tl.program_id(0)
    i = row * BM + tl.arange(0, BM)
    k, s = tl.program_id(1) * BN + tl.arange(0, BN), tl.arange(0, BK)
    total = tl.zeros((BM, BN), dtype)
    for start in range(0, m, BK):
        q = start + s
        G = tl.load(far + i.to(tl.int64)[:, None] * m + q[None, :],
                    (i < n)[:, None] & (q < m)[None, :], 0.0)  # fmt: skip
        x = tl.load(x2 + q.to(tl.int64)[:, None] * d + k[None, :],
                    (q < m)[:, None] & (k < d)[None, :], 0.0)  # fmt: skip
        total = tl.dot(G, x, total, input_precision=PRECISION, out_dtype=dtype)
    inside = (i < n)[:, None] & (k < d)[None, :]
    own = tl.load(x1 + i.to(tl.int64)[:, None] * d + k[None, :], inside, 0.0)
    r1 = inverse_std(_positive(tl.load(norms1 + i, i < n, 1.0), d))
    tiles = row * FLAG_ROWS + tl.arange(0, FLAG_ROWS)
    for tile in range(0, columns):
        found = tl.load(
            flags + tiles * columns + tile, tiles * (BM // FLAG_ROWS) < n, 0
        )
        if tl.max(found, 0) > 0:
            first = tile * FLAG_COLUMNS
            for q in range(first, tl.minimum(first + FLAG_COLUMNS, m)):
                bar = tl.load(near + i.to(tl.int64) * m + q, i < n, 0.0)
                r2 = inverse_std(_positive(tl.load(norms2 + q), d))
                other = tl.load(x2 + tl.cast(q, tl.int64) * d + k, k < d, 0.0)
                gap = (
                    own.to(tl.float64) * r1[:, None]
                    - (other.to(tl.float64) * r2)[None, :]
                )
                total += ((bar * r1)[:, None] * gap).to(dtype)
    total += tl.load(factors + i, i < n, 0.0).to(dtype)[:, None] * own
    tl.store(out + i.to(tl.int64)[:, None] * d + k[None, :], total, inside)
