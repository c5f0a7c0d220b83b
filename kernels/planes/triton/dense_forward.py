"""NNGP and NTK of fully connected networks: a tile of inner products, and all layers on
it while it is in the caches. No array per layer is made."""

import triton
import triton.language as tl

from .dense_ops import forward_values
from .elementary import inverse_std

# Variance of a zero row, which is computed as one at a right angle to every other.
TINY = tl.constexpr(1e-30)
# A tile with more nearly parallel pairs than this computes all distances at once.
FEW = tl.constexpr(64)


@triton.jit
def _tile(n, m, BM: tl.constexpr, BN: tl.constexpr, GROUP: tl.constexpr):
    """Row and column of this program's tile; GROUP rows of tiles share their columns
    in the second cache."""
    rows, columns = tl.cdiv(n, BM), tl.cdiv(m, BN)
    pid = tl.program_id(0)
    width = GROUP * columns
    first = pid // width * GROUP
    size = tl.minimum(rows - first, GROUP)
    return first + pid % width % size, pid % width // size


@triton.jit
def _products(
    x1, x2, i, j, n, m, d, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr,
):  # fmt: skip
    """x1 x2^T of a tile, and the squared norms of its rows and columns."""
    dtype: tl.constexpr = x1.dtype.element_ty
    k = tl.arange(0, BK)
    at1 = x1 + i.to(tl.int64)[:, None] * d + k[None, :]
    at2 = x2 + j.to(tl.int64)[None, :] * d + k[:, None]
    products = tl.zeros((BM, BN), dtype)
    squares1, squares2 = tl.zeros((BM,), dtype), tl.zeros((BN,), dtype)
    for start in range(0, d, BK):
        inside = start + k < d
        a = tl.load(at1 + start, (i < n)[:, None] & inside[None, :], 0.0)  # [BM, BK]
        b = tl.load(at2 + start, (j < m)[None, :] & inside[:, None], 0.0)  # [BK, BN]
        products = tl.dot(a, b, products, input_precision=PRECISION, out_dtype=dtype)
        squares1 += tl.sum(a * a, 1)
        squares2 += tl.sum(b * b, 0)
    return products, squares1, squares2


@triton.jit
def _one_distance(x1, x2, row, column, d, BD: tl.constexpr):
    """|x1 / |x1| - x2 / |x2||^2 / 2 of one pair of rows, in float64."""
    k = tl.arange(0, BD)
    at1, at2 = x1 + row.to(tl.int64) * d + k, x2 + column.to(tl.int64) * d + k
    squares1, squares2 = tl.zeros((BD,), tl.float64), tl.zeros((BD,), tl.float64)
    for start in range(0, d, BD):
        a = tl.load(at1 + start, start + k < d, 0.0).to(tl.float64)
        b = tl.load(at2 + start, start + k < d, 0.0).to(tl.float64)
        squares1 += a * a
        squares2 += b * b
    r1, r2 = 1.0 / tl.sqrt(tl.sum(squares1, 0)), 1.0 / tl.sqrt(tl.sum(squares2, 0))
    total = tl.zeros((BD,), tl.float64)
    for start in range(0, d, BD):
        a = tl.load(at1 + start, start + k < d, 0.0).to(tl.float64)
        b = tl.load(at2 + start, start + k < d, 0.0).to(tl.float64)
        total += (a * r1 - b * r2) * (a * r1 - b * r2)
    return 0.5 * tl.sum(total, 0)


@triton.jit
def _all_distances(x1, x2, i, j, n, m, d, BM: tl.constexpr, BN: tl.constexpr):
    """|x1 / |x1| - x2 / |x2||^2 / 2 of all pairs of a tile, in float64."""
    at1, at2 = x1 + i.to(tl.int64) * d, x2 + j.to(tl.int64) * d
    squares1, squares2 = tl.zeros((BM,), tl.float64), tl.zeros((BN,), tl.float64)
    for k in range(0, d):
        a = tl.load(at1 + k, i < n, 0.0).to(tl.float64)
        b = tl.load(at2 + k, j < m, 0.0).to(tl.float64)
        squares1 += a * a
        squares2 += b * b
    r1, r2 = inverse_std(squares1), inverse_std(squares2)
    total = tl.zeros((BM, BN), tl.float64)
    for k in range(0, d):
        a = tl.load(at1 + k, i < n, 0.0).to(tl.float64) * r1
        b = tl.load(at2 + k, j < m, 0.0).to(tl.float64) * r2
        gap = a[:, None] - b[None, :]
        total += gap * gap
    return 0.5 * total


@triton.jit
def _accurate(
    e, near, x1, x2, i, j, n, m, d, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr
):
    """e of a tile; where ``near``, from the distance of the rows, as the difference
    1 - correlation has too few digits left."""
    count = tl.sum(tl.sum(near.to(tl.int32), 1), 0)
    if count > FEW:
        distances = _all_distances(x1, x2, i, j, n, m, d, BM, BN)
        e = tl.where(near, distances.to(e.dtype), e)
    elif count > 0:
        places = tl.arange(0, BM)[:, None] * BN + tl.arange(0, BN)[None, :]
        # The last place first.
        place = tl.max(tl.max(tl.where(near, places, -1), 1), 0)
        for _ in range(count):
            row, column = tl.min(i, 0) + place // BN, tl.min(j, 0) + place % BN
            distance = _one_distance(x1, x2, row, column, d, BD)
            e = tl.where(places == place, distance.to(e.dtype), e)
            left = tl.where(near & (places < place), places, -1)
            place = tl.max(tl.max(left, 1), 0)
    return e


@triton.jit
def _defects(
    scratch, norms1, norms2, x1, x2, i, j, n, m, d, shift, inside, SAME: tl.constexpr,
    NEAR: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """e of a strip, from its products in ``scratch``; and squared norms of its rows and
    columns, with those that were zero."""
    products = tl.load(scratch + i.to(tl.int64)[:, None] * m + j[None, :], inside, 0.0)
    squares1, squares2 = (
        tl.load(norms1 + i, i < n, 1.0),
        tl.load(norms2 + j, j < m, 1.0),
    )
    A1, A2 = squares1 > 0, squares2 > 0
    squares1 = tl.where(A1, squares1, TINY * d)
    squares2 = tl.where(A2, squares2, TINY * d)
    r1, r2 = 1.0 / tl.sqrt(squares1), 1.0 / tl.sqrt(squares2)
    e = 1.0 - products * r1[:, None] * r2[None, :]
    e = tl.minimum(tl.maximum(e, 0.0), 2.0)
    near = (e < NEAR) & inside
    if SAME:
        apart = (i + shift)[:, None] != j[None, :]
        e = tl.where(apart, e, 0.0)
        near = near & apart
    e = _accurate(e, near, x1, x2, i, j, n, m, d, BM, BN, BD)
    return e, squares1, squares2, A1, A2


@triton.jit
def gram_kernel(
    x1, x2, nngp, ntk, norms1, norms2, n, m, d, shift,
    OPS: tl.constexpr, PAR: tl.constexpr, ALIVE: tl.constexpr, RESULT: tl.constexpr,
    SAME: tl.constexpr, TRIANGLE: tl.constexpr, WANT_K: tl.constexpr,
    WANT_T: tl.constexpr, DEFECTS: tl.constexpr, WIDE: tl.constexpr,
    NEAR: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr, GROUP: tl.constexpr, STRIP: tl.constexpr,
):  # fmt: skip
    """A tile of the kernels: its inner products, then all layers, strip by strip.

    The products wait for their strip in the place of the result, in the caches: a
    whole tile with all its layers does not fit into registers.

    Args:
        x1, x2: ``[n, d]``, ``[m, d]``, contiguous.
        nngp, ntk: ``[n, m]``, contiguous, written if WANT_K and WANT_T, one of which
            is true; DEFECTS has e of the inputs written to ``nngp`` instead.
        norms1, norms2: ``[n]``, ``[m]``, set to the squared norms of the rows.
        shift: with SAME, x1 is x2 from row ``shift`` on, and equal rows are at e = 0.
        TRIANGLE: only tiles on and above the diagonal are computed, and mirrored.
        WIDE: the layers are computed in float64.
        NEAR: below this e, it is computed from the distance of the rows.
        PRECISION: of products of float32: "ieee", "tf32x3".
        STRIP: rows of a strip.
    """
    dtype: tl.constexpr = x1.dtype.element_ty
    row, column = _tile(n, m, BM, BN, GROUP)
    if TRIANGLE:
        if (column + 1) * BN <= row * BM:
            return
    if WANT_K:
        scratch = nngp
    else:
        scratch = ntk
    rows, j = row * BM + tl.arange(0, BM), column * BN + tl.arange(0, BN)
    products, own1, own2 = _products(x1, x2, rows, j, n, m, d, PRECISION, BM, BN, BK)
    # Zero, which the compiler does not know: addresses that it made earlier would wait
    # for the end of the products in registers.
    zero = (tl.max(own1, 0) < 0).to(tl.int32)
    row, column = row + zero, column + zero
    rows, j = row * BM + tl.arange(0, BM), column * BN + tl.arange(0, BN)
    # Every tile of a row or column writes the same numbers there.
    tl.store(norms1 + rows, own1, rows < n)
    tl.store(norms2 + j, own2, j < m)
    places = rows.to(tl.int64)[:, None] * m + j[None, :]
    inside = (rows < n)[:, None] & (j < m)[None, :]
    if TRIANGLE:
        # Below the diagonal is the result of the mirrored tile, which may be there.
        inside = inside & (rows[:, None] <= j[None, :])
    tl.store(scratch + places, products, inside)
    tl.debug_barrier()
    for start in range(row * BM, tl.minimum(row * BM + BM, n), STRIP):
        i = start + tl.arange(0, STRIP)
        upper = (i < n)[:, None] & (j < m)[None, :]
        if TRIANGLE:
            above = upper & (i[:, None] < j[None, :])
            upper = upper & (i[:, None] <= j[None, :])
        e, squares1, squares2, A1, A2 = _defects(
            scratch, norms1, norms2, x1, x2, i, j, n, m, d, shift, upper, SAME, NEAR,
            STRIP, BN, 8 * BK,
        )  # fmt: skip
        p1, p2 = squares1[:, None] / d, squares2[None, :] / d
        if WIDE:
            e, p1, p2 = e.to(tl.float64), p1.to(tl.float64), p2.to(tl.float64)
        E, T, P1, P2 = forward_values(
            e, p1, p2, A1[:, None], A2[None, :], OPS, PAR, ALIVE, WANT_T
        )
        at = i.to(tl.int64)[:, None] * m + j[None, :]
        mirrored = j.to(tl.int64)[None, :] * m + i[:, None]
        if WANT_K:
            k = E[RESULT]
            if not DEFECTS:
                k = tl.sqrt(P1[RESULT]) * tl.sqrt(P2[RESULT]) * (1.0 - k)
            tl.store(nngp + at, k.to(dtype), upper)
            if TRIANGLE:
                tl.store(nngp + mirrored, k.to(dtype), above)
        if WANT_T:
            tl.store(ntk + at, T[RESULT].to(dtype), upper)
            if TRIANGLE:
                tl.store(ntk + mirrored, T[RESULT].to(dtype), above)


@triton.jit
def gram_of_shape_kernel(
    x1, x2, nngp, ntk, norms1, norms2, n: tl.constexpr, m: tl.constexpr,
    d: tl.constexpr, OPS: tl.constexpr, PAR: tl.constexpr, ALIVE: tl.constexpr,
    RESULT: tl.constexpr, SAME: tl.constexpr, TRIANGLE: tl.constexpr,
    WANT_K: tl.constexpr, WANT_T: tl.constexpr, WIDE: tl.constexpr,
    NEAR: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr, GROUP: tl.constexpr, STRIP: tl.constexpr,
):  # fmt: skip
    """``gram_kernel`` compiled for one shape, which XLA does with everything, too.

    Pointers are all that is left to the launch, inputs before results. As a number of
    the launch, d would not be known to be a multiple of 16 if it is, and rows would be
    loaded number by number.
    """
    gram_kernel(
        x1, x2, nngp, ntk, norms1, norms2, n, m, d, 0, OPS, PAR, ALIVE, RESULT, SAME,
        TRIANGLE, WANT_K, WANT_T, False, WIDE, NEAR, PRECISION, BM, BN, BK, GROUP,
        STRIP,
    )  # fmt: skip
