"""Which pixel of which pair of images a thread has.

A tile ``[lines, width]`` is one row of pixels of several pairs: the columns of an image
are side by side in a group of lanes, a power of two, and a warp has 32 lanes. Warps
share nothing, so that none waits for another.
"""

from dataclasses import dataclass

from ..program import Pair

WARP = 32
WARPS = 4
# Entries of a tile: a thread has two, which share what depends on the row only.
ENTRIES = 2 * WARP * WARPS


@dataclass(frozen=True)
class Lanes:
    """Lanes of images with ``columns`` pixels in a row.

    Args:
        columns: of the images.
        group: lanes of a pair of images, the rest of them left over.
    """

    columns: int
    group: int

    @property
    def width(self) -> int:
        """Lanes of a line: a warp, or more of them to a thread for wide images."""
        return max(WARP, self.group)

    @property
    def lines(self) -> int:
        """Lines of a tile: rows of different pairs."""
        return max(1, ENTRIES // self.width)

    @property
    def groups(self) -> int:
        """Pairs of images in a line."""
        return self.width // self.group

    @property
    def pairs(self) -> int:
        """Pairs of images of a program."""
        return self.lines * self.groups

    @property
    def full(self) -> bool:
        """Whether no lane is left over."""
        return self.columns == self.group

    @property
    def size(self) -> str:
        """The shape of a tile."""
        return f"[{self.lines}, {self.width}]"


def lanes_of(shape: Pair) -> Lanes:
    """The lanes of images of ``shape`` pixels."""
    return Lanes(shape[1], 1 << (shape[1] - 1).bit_length())
