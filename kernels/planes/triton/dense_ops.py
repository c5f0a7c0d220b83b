r"""Operations on (e, t) for a tile of pairs of rows: e is one minus the correlation of
the pair, t its NTK. What they compute is said in ``dense_plan.py``.

The values of a network are kept in tuples of tiles: E and T, ``[rows, columns]``, and
their variances P1 ``[rows, 1]`` and P2 ``[1, columns]``, which may be of a wider dtype
than E and T. OPS, PAR and ALIVE are those of ``dense_program.DenseProgram``; o is the
number of the operation. A1 and A2 say which rows are not zero.
"""

import triton
import triton.language as tl

from .duals import dual_maps, value
from .elementary import arc, inverse_std

# Columns of OPS, and the numbers of ``dense_plan.Step``.
STEP = tl.constexpr(0)
FAMILY = tl.constexpr(1)
SOURCE = tl.constexpr(2)
OTHER = tl.constexpr(3)
SLOT = tl.constexpr(5)
AFFINE = tl.constexpr(1)
SCALE_RECTIFY = tl.constexpr(2)
AFFINE_RECTIFY = tl.constexpr(3)
DUAL = tl.constexpr(4)
NORMALIZE = tl.constexpr(5)
ADD = tl.constexpr(6)


@triton.jit
def circle(p, q):
    """(sqrt(p), sqrt(q)) / sqrt(p + q), or (1, 0) where both are zero."""
    r = inverse_std(p + q)
    return tl.where(r > 0, tl.sqrt(p) * r, 1.0), tl.sqrt(q) * r


@triton.jit
def mixed(e, a1, b1, a2, b2):
    """1 minus the correlation of sums: a1 a2 e + |(a1 - a2, b1 - b2)|^2 / 2."""
    da, db = (a2 - a1).to(e.dtype), (b2 - b1).to(e.dtype)
    return (a1 * a2).to(e.dtype) * e + 0.5 * (da * da + db * db)


@triton.jit
def cast(maps, dtype: tl.constexpr):
    """The tiles of a tuple in another dtype."""
    out = ()
    for i in tl.static_range(len(maps)):
        out = out + (maps[i].to(dtype),)
    return out


@triton.jit
def row_step(P, OPS: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr):
    """The variances of the value that operation o computes."""
    p = P[OPS[o][SOURCE]]
    if OPS[o][STEP] == DUAL:
        M = dual_maps(p, OPS[o][FAMILY], PAR, o)
        q, _ = value(p, tl.zeros_like(p), M, M, OPS[o][FAMILY], PAR, o)
    elif OPS[o][STEP] == NORMALIZE:
        r = inverse_std(p + PAR[o][0])
        q = p * r * r
    elif OPS[o][STEP] == ADD:
        q = p + P[OPS[o][OTHER]]
    else:
        q = p * PAR[o][0] + PAR[o][6]
        if OPS[o][STEP] >= SCALE_RECTIFY:
            q = q * PAR[o][4]
    return q


@triton.jit
def standard_deviations(
    p, alive, OPS: tl.constexpr, o: tl.constexpr, dtype: tl.constexpr
):
    """sqrt(p), and 0 for a zero row of a sign or step: its steep slope counts 0."""
    s = tl.sqrt(p)
    if OPS[o][STEP] == DUAL:
        if OPS[o][FAMILY] == 1 or OPS[o][FAMILY] == 2:
            s = tl.where(alive, s, 0.0)
    return s.to(dtype)


@triton.jit
def _linear(
    e, t, p1, p2, alive1, alive2, OPS: tl.constexpr, PAR: tl.constexpr, o: tl.constexpr,
    WANT_T: tl.constexpr,
):  # fmt: skip
    """Affine map, and a rectifier after it."""
    out, new = e, t
    if OPS[o][STEP] == AFFINE or OPS[o][STEP] == AFFINE_RECTIFY:
        a1, b1 = circle(p1 * PAR[o][0], tl.zeros_like(p1) + PAR[o][6])
        a2, b2 = circle(p2 * PAR[o][0], tl.zeros_like(p2) + PAR[o][6])
        out = mixed(e, a1, b1, a2, b2)
    if WANT_T:
        kept = tl.sqrt(p1).to(e.dtype) * tl.sqrt(p2).to(e.dtype) * (1.0 - e)
        new = t * PAR[o][0] + (kept * PAR[o][1] + PAR[o][2])
    if OPS[o][STEP] >= SCALE_RECTIFY:
        theta, lune = arc(out)
        out = tl.maximum(out - lune * PAR[o][5], 0.0)
        if OPS[o][STEP] == SCALE_RECTIFY:
            # A zero row is at a right angle to every row, in every layer.
            out = tl.where(alive1 & alive2, out, 1.0)
        if WANT_T:
            new = new * (PAR[o][4] - theta * PAR[o][3])
    return out, new


@triton.jit
def _dual(
    e, t, p1, p2, q1, q2, alive1, alive2, OPS: tl.constexpr, PAR: tl.constexpr,
    o: tl.constexpr, WANT_T: tl.constexpr,
):  # fmt: skip
    s1 = standard_deviations(p1, alive1, OPS, o, e.dtype)
    s2 = standard_deviations(p2, alive2, OPS, o, e.dtype)
    M = cast(dual_maps(p1, OPS[o][FAMILY], PAR, o), e.dtype)
    N = cast(dual_maps(p2, OPS[o][FAMILY], PAR, o), e.dtype)
    ss = s1 * s2
    det = ss * ss * (e * (2.0 - e))
    new, slope = value(ss * (1.0 - e), det, M, N, OPS[o][FAMILY], PAR, o)
    scale = inverse_std(q1).to(e.dtype) * inverse_std(q2).to(e.dtype)
    out = tl.minimum(tl.maximum(1.0 - new * scale, 0.0), 2.0)
    # Equal rows stay equal, in spite of rounding.
    out = tl.where(e + tl.abs(s1 - s2) > 0, out, 0.0)
    if WANT_T:
        t = slope * t
    return out, t


@triton.jit
def pair_step(
    E, T, P1, P2, A1, A2, OPS: tl.constexpr, PAR: tl.constexpr, ALIVE: tl.constexpr,
    o: tl.constexpr, WANT_T: tl.constexpr,
):  # fmt: skip
    """e and t of the value that operation o computes, whose variances are known."""
    source: tl.constexpr = OPS[o][SOURCE]
    e, t = E[source], T[source]
    p1, p2, q1, q2 = P1[source], P2[source], P1[o + 1], P2[o + 1]
    alive1, alive2 = A1 | ALIVE[source], A2 | ALIVE[source]
    if OPS[o][STEP] == DUAL:
        return _dual(e, t, p1, p2, q1, q2, alive1, alive2, OPS, PAR, o, WANT_T)
    elif OPS[o][STEP] == NORMALIZE:
        if WANT_T:
            r1, r2 = inverse_std(p1 + PAR[o][0]), inverse_std(p2 + PAR[o][0])
            t = t * (r1.to(e.dtype) * r2.to(e.dtype))
        return e, t
    elif OPS[o][STEP] == ADD:
        other: tl.constexpr = OPS[o][OTHER]
        a1, b1 = circle(p1, P1[other])
        a2, b2 = circle(p2, P2[other])
        out = mixed(e, a1, b1, a2, b2) + (b1 * b2).to(e.dtype) * E[other]
        if WANT_T:
            t = t + T[other]
        return out, t
    else:
        return _linear(e, t, p1, p2, alive1, alive2, OPS, PAR, o, WANT_T)


@triton.jit
def forward_values(
    e, p1, p2, A1, A2, OPS: tl.constexpr, PAR: tl.constexpr, ALIVE: tl.constexpr,
    WANT_T: tl.constexpr,
):  # fmt: skip
    """E, T, P1 and P2: all values of the network, from those of the input."""
    E, T, P1, P2 = (e,), (tl.zeros_like(e),), (p1,), (p2,)
    for o in tl.static_range(len(OPS)):
        P1 = P1 + (row_step(P1, OPS, PAR, o),)
        P2 = P2 + (row_step(P2, OPS, PAR, o),)
        e, t = pair_step(E, T, P1, P2, A1, A2, OPS, PAR, ALIVE, o, WANT_T)
        E, T = E + (e,), T + (t,)
    return E, T, P1, P2
