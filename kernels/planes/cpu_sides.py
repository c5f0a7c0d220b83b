"""What depends on one image alone: computed once, kept while there is room for it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

# Bytes of images and maps that are kept from one block of pairs to the next: all of
# 2000 images of 32 x 32 pixels in float32.
KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class Side:
    """Images of a block ``[B, channels pixels]``, their maps, the head's variances."""

    images: np.ndarray
    maps: np.ndarray
    variances: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.maps.nbytes + self.variances.nbytes


class Sides:
    """The sides of blocks of inputs; those that were used last are kept.

    Threads may share it: one of them makes a side while the others wait.

    Args:
        make: the side of images ``[B, *S, channels]``.
        inputs: ``[n, *S, channels]``, one or two of them.
        limit: bytes that are kept at most, beside the sides of the block in hand.
    """

    def __init__(
        self,
        make: Callable[[np.ndarray], Side],
        inputs: tuple[np.ndarray, ...],
        limit: int = KEPT_BYTES,
    ) -> None:
        self._make, self._inputs, self._limit = make, inputs, limit
        self._kept: OrderedDict[tuple[int, int, int], Side] = OrderedDict()
        self._lock = Lock()

    def __call__(self, which: int, block: slice) -> Side:
        """The side of a block of ``inputs[which]``."""
        key = which, block.start, block.stop
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._make(self._inputs[which][block])
            self._kept.move_to_end(key)
            while len(self._kept) > 2 and self.nbytes > self._limit:
                self._kept.popitem(last=False)
            return self._kept[key]

    @property
    def nbytes(self) -> int:
        return sum(side.nbytes for side in self._kept.values())
