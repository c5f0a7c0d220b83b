"""Windows that slide over images, seen one tap at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import add
from typing import Any

from ..kernels.exact.axes import pad
from ..kernels.layers.windows import extent, margins

Array = Any


@dataclass(frozen=True)
class Window:
    """The pixels under a filter or pool, as in ``Conv`` and ``AvgPool``.

    Args:
        shape: taps per spatial axis.
        strides: step per spatial axis.
        padding: "VALID", "SAME" or "CIRCULAR".
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str

    @property
    def taps(self) -> int:
        """Number of pixels in the window."""
        return prod(self.shape)

    def extent(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Sizes of the spatial axes of the output."""
        paddings = (self.padding,) * len(spatial)
        return tuple(map(extent, spatial, self.shape, self.strides, paddings))

    def views(self, x: Array) -> Iterator[Array]:
        """For each tap, the pixel that every window has there: ``[n, *S, a] -> taps of
        [n, *S', a]``, as slices of one padded copy."""
        return self._slices(self.padded(x), self.extent(tuple(x.shape[1:-1])))

    def padded(self, x: Array) -> Array:
        """The images with the pixels around them that windows reach."""
        spatial = tuple(x.shape[1:-1])
        for axis, (size, taps, stride) in enumerate(
            zip(spatial, self.shape, self.strides, strict=True), 1
        ):
            lo, hi = margins(size, taps, stride, self.padding)
            x = pad(x, axis, lo, hi, circular=self.padding == "CIRCULAR")
        return x

    def _slices(self, padded: Array, out: tuple[int, ...]) -> Iterator[Array]:
        for tap in range(self.taps):
            index, rest = [], tap
            for taps, stride, size in zip(
                self.shape[::-1], self.strides[::-1], out[::-1], strict=True
            ):
                rest, o = divmod(rest, taps)
                index.append(slice(o, o + (size - 1) * stride + 1, stride))
            yield padded[(slice(None), *index[::-1], slice(None))]

    def sums(self, x: Array) -> Array:
        """Sums over every window, ``[n, *S, a] -> [n, *S', a]``.

        >>> import numpy as np
        >>> x = np.asarray([[[1.0], [2.0], [4.0]]])
        >>> Window((2,), (1,), "SAME").sums(x)[0, :, 0].tolist()
        [3.0, 6.0, 4.0]
        """
        # One axis after the other: the taps add up instead of multiplying.
        for axis in range(len(self.shape)):
            line = Window(
                tuple(s if a == axis else 1 for a, s in enumerate(self.shape)),
                tuple(s if a == axis else 1 for a, s in enumerate(self.strides)),
                self.padding,
            )
            x = reduce(add, line.views(x))
        return x
