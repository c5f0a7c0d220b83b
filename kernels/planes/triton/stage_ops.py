r"""What the rows of a plane go through, in Triton: neighbours and windows.

Planes are packed: the tile of displacement d, 0 <= d < N per axis, holds the covariance
of pixel p of the first image and of p' = (p + d) mod N of the second, which is the
plane d for p < N - d and the plane d - N beyond this seam.

These functions take rows, which are numbers, as well as columns, which are tiles. Sums
are float additions in the order of the offsets, wherever a pixel is, so that equal
patches of images have equal bits.
"""

import triton
import triton.language as tl

__all__ = [
    "covering",
    "needed",
    "neighbour",
    "partner",
    "over",
    "pixels_under",
    "sum_of_groups",
    "window_pixel",
]


@triton.jit
def partner(p, d, N: tl.constexpr):
    """The pixel p' of the second image, (p + d) mod N, of a pixel p."""
    moved = p + d
    return tl.where(moved >= N, moved - N, moved)


@triton.jit
def neighbour(p, o: tl.constexpr, d, N: tl.constexpr):
    """Whether p and p' can both move by o without crossing the edge of an image.

    The edge of the second image is the seam.
    """
    q = p + o
    return (q >= 0) & (q < N) & ((p + d < N) == (q + d < N))


@triton.jit
def _under(
    e,
    P,
    EXIT: tl.constexpr,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    CIRCULAR: tl.constexpr,
):
    """Whether pixel e of EXIT pixels lies in the window of pooled pixel P."""
    offset = e - P * STRIDE + BEFORE
    if CIRCULAR:
        offset = (offset % EXIT + EXIT) % EXIT
    return (offset >= 0) & (offset < WINDOW) & (e >= 0) & (e < EXIT)


@triton.jit
def window_pixel(
    P,
    o,
    D,
    d,
    M: tl.constexpr,
    N: tl.constexpr,
    FIRST: tl.constexpr,
    EXIT: tl.constexpr,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    CIRCULAR: tl.constexpr,
):
    """Pixel number o in the window of pooled pixel P, and whether it counts.

    The pixels (q, q') of tile d count in the pooled pixels (P, P') of tile D if both
    lie in the windows. FIRST: the pixel that is number 0 of the EXIT pixels that are
    pooled, as unpadded convolutions leave off some. Pooled images have M pixels.
    """
    e = P * STRIDE - BEFORE + o
    if CIRCULAR:
        e = (e % EXIT + EXIT) % EXIT
    inside = (e >= 0) & (e < EXIT) & (P < M)
    e = tl.where(inside, e, 0)
    other = partner(e + FIRST, d, N) - FIRST
    moved = partner(P, D, M)
    inside &= _under(other, moved, EXIT, WINDOW, STRIDE, BEFORE, CIRCULAR)
    return e + FIRST, inside


@triton.jit
def covering(
    q,
    o,
    D,
    d,
    M: tl.constexpr,
    N: tl.constexpr,
    FIRST: tl.constexpr,
    EXIT: tl.constexpr,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
    CIRCULAR: tl.constexpr,
):
    """Number o of the pooled pixels that q may count in, and whether it does."""
    e = q - FIRST
    other = partner(q, d, N) - FIRST
    if CIRCULAR:
        P = q * 0 + o
    else:
        P = (e + BEFORE) // STRIDE - o
    inside = (P >= 0) & (P < M)
    P = tl.where(inside, P, 0)
    moved = partner(P, D, M)
    inside &= _under(e, P, EXIT, WINDOW, STRIDE, BEFORE, CIRCULAR)
    inside &= _under(other, moved, EXIT, WINDOW, STRIDE, BEFORE, CIRCULAR)
    return P, inside


@triton.jit
def over(
    q,
    M: tl.constexpr,
    FIRST: tl.constexpr,
    EXIT: tl.constexpr,
    WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,
):
    """The pooled pixel whose window has q, and whether there is one, where windows do
    not overlap; ``covering`` for either pixel of a pair alone."""
    e = q - FIRST
    P = (e + BEFORE) // STRIDE
    inside = (P < M) & _under(e, P, EXIT, WINDOW, STRIDE, BEFORE, False)
    return tl.where(inside, P, 0), inside


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
def sum_of_groups(x, LINES: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr):
    """The sum over the lanes of every group, ``[LINES, GROUPS]``."""
    return tl.sum(tl.reshape(x, [LINES, GROUPS, GROUP]), 2)
