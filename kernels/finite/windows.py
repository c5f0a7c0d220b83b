"""Patches of images, and the inner products of all pairs of patches."""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from array_api_compat import array_namespace

Array = Any


@dataclass(frozen=True)
class Window:
    """The window of a convolution over padded images.

    Args:
        taps, strides, dilations: per spatial axis.
    """

    taps: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of taps."""
        return prod(self.taps)

    def extents(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Output pixels per axis for padded images of size ``spatial``."""
        return tuple(
            (size - (k - 1) * dil - 1) // step + 1
            for size, k, step, dil in zip(
                spatial, self.taps, self.strides, self.dilations, strict=True
            )
        )

    def slices(self, axis: int, tap: int, size: int) -> slice:
        """The pixels along one axis that a tap sees, of an axis of ``size`` pixels."""
        step, dil = self.strides[axis], self.dilations[axis]
        count = (size - (self.taps[axis] - 1) * dil - 1) // step + 1
        start = tap * dil
        return slice(start, start + (count - 1) * step + 1, step)

    def gram_cost(self, x1: tuple[int, ...], x2: tuple[int, ...]) -> tuple[int, int]:
        """Operations and written elements of the patch Gram of one pair and group."""
        ways = (self._patch_cost(x1, x2), self._pixel_cost(x1, x2))
        return ways[self.prefers_pixels(x1, x2)]

    def prefers_pixels(self, x1: tuple[int, ...], x2: tuple[int, ...]) -> bool:
        """Whether the Gram of pixels, then summed over taps, is the cheaper way.

        It takes N^2 D^2 (C + F) instead of N^2 D^2 C F operations, but writes the Gram
        of all padded pixels; strides make that larger than the result.
        """
        patch, pixel = self._patch_cost(x1, x2), self._pixel_cost(x1, x2)
        # Sums over shifts run at memory speed: a product of matrices does about this
        # many operations in the time of one of theirs.
        slow = 16
        return pixel[0] + slow * pixel[1] < patch[0] + slow * patch[1]

    def _patch_cost(self, x1: tuple[int, ...], x2: tuple[int, ...]) -> tuple[int, int]:
        t, s = (prod(self.extents(x[3:])) for x in (x1, x2))
        return 2 * t * s * x1[2] * self.size, t * s

    def _pixel_cost(self, x1: tuple[int, ...], x2: tuple[int, ...]) -> tuple[int, int]:
        pixels = prod(x1[3:]) * prod(x2[3:])
        return 2 * pixels * x1[2] + sum(self.taps) * pixels, (
            1 + len(self.taps)
        ) * pixels


def patches(x: Array, window: Window) -> Array:
    """Images ``[n, b, c, *S]`` to patches ``[n, b, t, i]``, i over taps, channels."""
    xp = array_namespace(x)
    n, b, c, *spatial = x.shape
    # Channels last, so that patches are written in runs.
    x = xp.permute_dims(x, (0, 1, *range(3, x.ndim), 2))
    shifted = [
        x[
            (
                slice(None),
                slice(None),
                *(window.slices(a, k, spatial[a]) for a, k in enumerate(taps)),
            )
        ]
        for taps in product(*map(range, window.taps))
    ]
    stacked = xp.stack(shifted, axis=-2)  # [n, b, *S, F, c]
    return xp.reshape(stacked, (n, b, -1, window.size * c))


def pixel_gram(x: Array, y: Array, window: Window, paired: bool = False) -> Array:
    """Inner products of all pairs of patches, ``[b, n, m, t, s]``, by way of pixels.

    The patches at p and q have sum_o <x[p + o], y[q + o]>: the Gram of pixels, summed
    over shifts by o of both, one spatial axis after the other.
    """
    xp = array_namespace(x)
    size1, size2 = x.shape[3:], y.shape[3:]
    flat1 = xp.reshape(x, (*x.shape[:3], -1))
    flat2 = xp.reshape(y, (*y.shape[:3], -1))
    formula = "nbcp,nbcq->bnpq" if paired else "nbcp,mbcq->bnmpq"
    gram = xp.einsum(formula, flat1, flat2)
    lead = gram.shape[:-2]
    gram = xp.reshape(gram, (*lead, *size1, *size2))
    dims = len(size1)
    for axis in range(dims):
        first, second = len(lead) + axis, len(lead) + dims + axis
        total = None
        for tap in range(window.taps[axis]):
            index = [slice(None)] * gram.ndim
            index[first] = window.slices(axis, tap, size1[axis])
            index[second] = window.slices(axis, tap, size2[axis])
            part = gram[tuple(index)]
            total = part if total is None else total + part
        gram = total
    return xp.reshape(gram, (*lead, prod(window.extents(size1)), -1))
