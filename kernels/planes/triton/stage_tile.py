"""How the planes of several pairs of images share one tile."""

from dataclasses import dataclass

from ..program import Pair

# A dimension of a matrix product on tensor cores is 16 at least.
SMALLEST = 16
# Entries of a tile at least; planes smaller than that share one.
ENTRIES = 1024
# Pixels per axis that a tile can have, and entries that fit the registers of a program.
LARGEST = 64


@dataclass(frozen=True)
class Tile:
    """``size`` entries, ``groups`` of pairs along either axis, of ``shape`` pixels."""

    shape: Pair
    size: Pair
    groups: Pair

    @property
    def pairs(self) -> int:
        """Pairs of images in the tile."""
        return self.groups[0] * self.groups[1]

    @property
    def single(self) -> bool:
        """Whether there is one pair of images in the tile."""
        return self.pairs == 1

    @property
    def exact(self) -> bool:
        """Whether no entry is left over."""
        return self.single and self.size == self.shape


def tile_of(shape: Pair, groups: Pair | None = None) -> Tile:
    """The tile of images of ``shape``, with as many pairs as fit unless ``groups``."""
    if groups is None:
        size = [_power(n) for n in shape]
        while size[0] * size[1] < ENTRIES:
            axis = 0 if size[0] <= size[1] else 1
            size[axis] *= 2
        groups = (size[0] // shape[0], size[1] // shape[1])
    else:
        size = [_power(n * g) for n, g in zip(shape, groups, strict=True)]
    return Tile(shape, (size[0], size[1]), groups)


def _power(n: int) -> int:
    """The power of two that n pixels fit in, large enough for a tensor core."""
    return max(SMALLEST, 1 << (n - 1).bit_length())
