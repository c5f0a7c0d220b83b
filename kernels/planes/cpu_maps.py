"""Between images in memory and lanes in the workspace.

Lane l of a tile holds the pair of images ``i1[l], i2[l]`` of the block. Images and
variances are copied into lanes once per tile, which is nothing beside its planes.
"""

import math

from numba import njit

from .cpu_arccosine import TINY
from .cpu_lanes import LANES
from .encoding import KIND, OP


@njit(nogil=True, cache=True)
def gather_images(images, which, X, start):
    """``[B, channels, pixels] -> [channels, pixels, LANES]`` at ``start``."""
    channels, pixels = images.shape[1:]
    for lane in range(LANES):
        for c in range(channels):
            for p in range(pixels):
                X[start + (c * pixels + p) * LANES + lane] = images[which[lane], c, p]


@njit(nogil=True, cache=True)
def gather_maps(ops, par, first, last, V, which, M, shift):
    """Maps of the operations first, ..., last - 1 from the variances ``V``.

    An activation has the maps p and 1 / sqrt(p), a normalisation 1 / sqrt(p + eps).
    """
    for o in range(first, last):
        kind = ops[o, OP.kind]
        if kind == KIND.normalize:
            _normalizers(ops, par, o, V, which, M, shift)
        elif kind in (KIND.rectify, KIND.dual, KIND.fused):
            pixel = ops[o, OP.pixel]
            pixels = ops[o, OP.height] * ops[o, OP.width]
            at = shift + 2 * pixel * LANES
            for lane in range(LANES):
                for x in range(pixels):
                    p = max(V[which[lane], pixel + x], TINY)
                    M[at + x * LANES + lane] = p
                    M[at + (pixels + x) * LANES + lane] = 1.0 / math.sqrt(p)


@njit(nogil=True, cache=True)
def _normalizers(ops, par, o, V, which, M, shift):
    pixel, h, w = ops[o, OP.pixel], ops[o, OP.height], ops[o, OP.width]
    rows = h if ops[o, OP.spatial0] else 1
    cols = w if ops[o, OP.spatial1] else 1
    for lane in range(LANES):
        for i0 in range(0, h, rows):
            for j0 in range(0, w, cols):
                total = 0.0
                for i in range(i0, i0 + rows):
                    for j in range(j0, j0 + cols):
                        total += V[which[lane], pixel + i * w + j]
                mean = total / (rows * cols) + par[o, 4]
                factor = 1.0 / math.sqrt(mean) if mean > 0 else 0.0
                for i in range(i0, i0 + rows):
                    for j in range(j0, j0 + cols):
                        at = shift + (2 * pixel + i * w + j) * LANES + lane
                        M[at] = factor


@njit(nogil=True, cache=True)
def record_variances(W, k, pitch, h, w, V, which, pixel):
    """The plane d = 0 of the pairs (x, x) is the variance of every pixel."""
    for lane in range(LANES):
        for i in range(h):
            for j in range(w):
                p = W[k + i * pitch + j * LANES + lane]
                V[which[lane], pixel + i * w + j] = max(p, 0.0)
