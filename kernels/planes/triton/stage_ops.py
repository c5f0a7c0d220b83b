r"""What one tile of planes goes through, in Triton: products with 0/1 matrices.

A tile is ``[R, C]``. Its rows are groups of N pixels of the height, its columns groups
of the width, one group for every pair of images; rows and columns that are left over
are zero. Planes are packed: the tile of displacement d, 0 <= d < N per axis, holds the
covariance of pixel p of the first image and of p' = (p + d) mod N of the second, which
is the plane d for p < N - d and the plane d - N beyond this seam.

A box, a pool and the adjoints of both act on rows and columns alone, as ``A P B`` with
matrices of zeros and ones that depend on d. Tensor cores multiply numbers of 11 bits,
so P is cut in two parts; the sums of the leading parts are exact, and the result is
that of float32 additions, whatever the position of a pixel in the tile.
"""

import triton
import triton.language as tl

__all__ = [
    "box_matrix",
    "from_left",
    "from_right",
    "inverse_root",
    "needed",
    "partner",
    "pixels_under",
    "pool_matrix",
]


@triton.jit
def leading(x):
    """x rounded to the 11 bits that a tensor core reads of a float32."""
    bits = x.to(tl.int32, bitcast=True) + 4096
    return (bits & -8192).to(tl.float32, bitcast=True)


@triton.jit
def from_left(A, P):
    """A P for a matrix A of zeros and ones."""
    if P.dtype == tl.float64:
        product = tl.dot(A, P, input_precision="ieee", out_dtype=tl.float64)
    else:
        high = leading(P)
        low = leading(P - high)
        product = tl.dot(A, low, input_precision="tf32")
        product += tl.dot(A, high, input_precision="tf32")
    return product


@triton.jit
def from_right(P, B):
    """P B for a matrix B of zeros and ones."""
    if P.dtype == tl.float64:
        product = tl.dot(P, B, input_precision="ieee", out_dtype=tl.float64)
    else:
        high = leading(P)
        low = leading(P - high)
        product = tl.dot(low, B, input_precision="tf32")
        product += tl.dot(high, B, input_precision="tf32")
    return product


@triton.jit
def partner(p, d, N: tl.constexpr):
    """The pixel p' of the second image, (p + d) mod N, of a pixel p or of none."""
    moved = p + d
    return tl.where(moved >= N, moved - N, moved)


@triton.jit
def box_matrix(
    d,
    N: tl.constexpr,
    GROUPS: tl.constexpr,
    SIZE: tl.constexpr,
    BEFORE: tl.constexpr,
    AFTER: tl.constexpr,
    WRAP: tl.constexpr,
    TYPE: tl.constexpr,
):
    """``[SIZE, SIZE]``, whether pixel q (column) counts in the box of pixel p (row).

    p and p' move by the same offset, which must not cross the seam unless the image
    wraps around. With BEFORE and AFTER exchanged it is the transpose.
    """
    r = tl.arange(0, SIZE)
    group, pixel = r // N, r % N
    p, q = pixel[:, None], pixel[None, :]
    if WRAP:
        near = (q - p + (N + BEFORE)) % N <= BEFORE + AFTER
    else:
        near = (q - p >= -BEFORE) & (q - p <= AFTER)
        near = near & ((p + d < N) == (q + d < N))
    near = near & (group[:, None] == group[None, :]) & (group < GROUPS)[:, None]
    return near.to(TYPE)


@triton.jit
def _under(
    e,
    P,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    EXIT: tl.constexpr,
    CIRCULAR: tl.constexpr,
):
    """Whether pixel e of EXIT pixels lies in the window of pooled pixel P."""
    offset = e - P * STRIDE + BEFORE
    if CIRCULAR:
        offset = (offset % EXIT + EXIT) % EXIT
    return (offset >= 0) & (offset < WINDOW) & (e >= 0) & (e < EXIT)


@triton.jit
def pool_matrix(
    group_out,
    P,
    group_in,
    q,
    D,
    d,
    M: tl.constexpr,
    N: tl.constexpr,
    GROUPS: tl.constexpr,
    FIRST: tl.constexpr,
    EXIT: tl.constexpr,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    CIRCULAR: tl.constexpr,
    TYPE: tl.constexpr,
):
    """Whether the pixels (q, q') of tile d count in the pooled pixels (P, P') of D.

    The shape is that of ``P`` and ``q`` broadcast. FIRST: the pixel that is number 0 of
    the EXIT pixels that are pooled, as unpadded convolutions leave off some.
    """
    inside = _under(q - FIRST, P, WINDOW, STRIDE, BEFORE, EXIT, CIRCULAR)
    other = partner(q, d, N) - FIRST
    inside &= _under(other, partner(P, D, M), WINDOW, STRIDE, BEFORE, EXIT, CIRCULAR)
    inside &= (group_out == group_in) & (group_out < GROUPS)
    return inside.to(TYPE)


@triton.jit
def pixels_under(
    P,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    EXIT: tl.constexpr,
):
    """How many of EXIT pixels lie under pooled pixel P, at least 1."""
    start = P * STRIDE - BEFORE
    count = tl.minimum(start + WINDOW, EXIT) - tl.maximum(start, 0)
    return tl.maximum(count, 1)


@triton.jit
def needed(d, flags, p, N: tl.constexpr):
    """Whether pixel p belongs to a plane that is needed: flag 1 for d, 2 for d - N."""
    return tl.where(p + d < N, flags % 2, flags // 2) > 0


@triton.jit
def inverse_root(x):
    """1 / sqrt(x), and 0 unless x > 0."""
    return tl.where(x > 0, 1.0 / tl.sqrt(tl.where(x > 0, x, 1.0)), 0.0)
