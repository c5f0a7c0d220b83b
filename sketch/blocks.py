"""Feature vectors as direct sums of blocks, some of them patches that are never formed.

A convolution makes the features of a pixel out of those in the window around it: nine
times as many for a 3 x 3 filter. A block keeps the array before the convolution and the
window; whatever is done to the patches (norms, linear maps) is done tap by tap.
"""

from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from ..dual_activations.backends import backend_of
from . import numpy_rows, winograd
from .constants import Constant
from .windows import Window

Array = Any


@dataclass(frozen=True)
class Block:
    """scale * gain[p] * (array at all taps of the window of pixel p).

    Args:
        array: ``[n, *S, a]``.
        window: the patch that each pixel sees; None for the pixel alone.
        scale: a number, or an array scalar that is differentiated.
        gain: a factor for each pixel, ``[n, *S']``; None for 1.
        label: which features of a map these are, for those who want to know later.
    """

    array: Array
    window: Window | None = None
    scale: Any = 1.0
    gain: Array | None = None
    label: str | None = None

    @property
    def layout(self) -> tuple[int, int]:
        """Number of taps and of features at each tap."""
        return (self.window.taps if self.window else 1), self.array.shape[-1]

    @property
    def size(self) -> int:
        """Number of features of a pixel."""
        taps, channels = self.layout
        return taps * channels

    def views(self) -> list[Array]:
        """The array at each tap, without scale and gain."""
        return list(self.window.views(self.array)) if self.window else [self.array]

    def finish(self, y: Array) -> Array:
        """``y`` ``[n, *S', m]``, linear in the patches, with scale and gain."""
        y = times(y, self.scale)
        return y if self.gain is None else y * self.gain[..., None]

    def dense(self) -> Array:
        """The features themselves, ``[n, *S', size]``: tap by tap."""
        views = self.views()
        if len(views) == 1:
            return self.finish(views[0])
        return self.finish(array_namespace(self.array).concat(views, axis=-1))

    def plain(self) -> "Block":
        """The same without window and gain, formed if need be."""
        if self.window is None and self.gain is None:
            return self
        return Block(self.dense(), label=self.label)

    def squares(self) -> Array:
        """Squared norms, ``[n, *S', 1]``."""
        xp = array_namespace(self.array)
        s = xp.sum(self.array * self.array, axis=-1, keepdims=True)
        s = self.window.sums(s) if self.window else s
        return self.finish(self.finish(s))


Blocks = tuple[Block, ...]
# Taps and channels of every block: the shape of their linear maps.
Layout = tuple[tuple[int, int], ...]


class Matrix:
    """A matrix ``[width, m]`` that features are multiplied with, cut by block and tap.

    Args:
        weights: rows in the order of ``dense``.
        layout: of the features.
    """

    def __init__(self, weights: np.ndarray, layout: Layout) -> None:
        self.parts, start = [], 0
        for taps, channels in layout:
            part = weights[start : start + taps * channels]
            self.parts.append(Taps(np.split(part, taps)))
            start += taps * channels


class Taps:
    """The rows of a matrix that belong to one block, ``[channels, m]`` for each tap."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        self.each = [Constant(w) for w in weights]

    @cached_property
    def transformed(self) -> Constant:
        """Likewise, for ``winograd.convolve``."""
        return Constant(winograd.transformed([w.array for w in self.each]))


def times(y: Array, factor: Any) -> Array:
    """``y`` times a number, in the dtype of ``y``."""
    if is_array_api_obj(factor) and not is_numpy_array(factor):
        return y * array_namespace(factor).astype(factor, y.dtype)
    factor = float(factor)
    return y if factor == 1 else y * factor


def scaled(blocks: Blocks, factor: Any) -> Blocks:
    """All blocks times a number."""
    return tuple(replace(b, scale=b.scale * factor) for b in blocks)


def gained(blocks: Blocks, gain: Array) -> Blocks:
    """All blocks times a factor for each pixel, ``[n, *S]``."""
    return tuple(
        replace(b, gain=gain if b.gain is None else b.gain * gain) for b in blocks
    )


def layout(blocks: Blocks) -> Layout:
    """Taps and channels of every block."""
    return tuple(b.layout for b in blocks)


def width(blocks: Blocks) -> int:
    """Number of features of a pixel."""
    return sum(b.size for b in blocks)


def dense(blocks: Blocks) -> Array:
    """All features side by side, ``[n, *S, width]``."""
    parts = [b.dense() for b in blocks]
    return (
        parts[0] if len(parts) == 1 else array_namespace(*parts).concat(parts, axis=-1)
    )


def squares(blocks: Blocks) -> Array:
    """Squared norms of all features, ``[n, *S, 1]``."""
    return reduce(add, (b.squares() for b in blocks))


def project(blocks: Blocks, matrix: Matrix) -> Array:
    """The features times a matrix, ``[n, *S, m]``: a convolution for patches."""
    return reduce(add, map(_project_one, blocks, matrix.parts))


def _project_one(block: Block, weights: Taps) -> Array:
    x, window = block.array, block.window
    if winograd.applies(x, window):
        filters = weights.transformed.like(x)
        return block.finish(winograd.convolve(x, window, filters))
    if numpy_rows.applies(x, window):
        matrices = [w.like(x) for w in weights.each]
        return block.finish(numpy_rows.Rows(x, window).total(matrices))
    total = None
    for view, w in zip(block.views(), weights.each, strict=True):
        term = matmul(view, w)
        total = term if total is None else total + term
    return block.finish(total)


def matmul(x: Array, w: Constant) -> Array:
    """``[..., a] @ [a, m]`` as one product of two matrices."""
    xp = array_namespace(x)
    flat = xp.reshape(x, (-1, x.shape[-1]))
    product = backend_of(x).matmul(flat, w.like(x))
    return xp.reshape(product, (*x.shape[:-1], product.shape[-1]))


def rows(blocks: Blocks, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The features of single pixels of NumPy blocks, ``[k, width]``.

    Args:
        images: index of the image, ``[k]``.
        pixels: index into the flattened spatial axes, ``[k]``.
    """
    parts = []
    for b in blocks:
        views = b.views()
        spatial = views[0].shape[1:-1]
        at = (images, *(np.unravel_index(pixels, spatial) if spatial else ()))
        part = times(np.concatenate([v[at] for v in views], axis=-1), b.scale)
        parts.append(part if b.gain is None else part * b.gain[at][:, None])
    return np.concatenate(parts, axis=-1)
