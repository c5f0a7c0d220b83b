"""How the planes of several pairs of images share one tile."""

from dataclasses import dataclass

from ..program import Pair

# Entries of a tile at least; planes smaller than that share one.
ENTRIES = 1024


@dataclass(frozen=True)
class Tile:
    """``size`` entries, ``groups`` of pairs along either axis, of ``shape`` pixels."""

    shape: Pair
    size: Pair
    groups: Pair

    @property
    def entries(self) -> int:
        """Entries of the tile, those included that are left over."""
        return self.size[0] * self.size[1]

    @property
    def pairs(self) -> int:
        """Pairs of images in the tile."""
        return self.groups[0] * self.groups[1]

    @property
    def single(self) -> bool:
        """Whether there is one pair of images in the tile."""
        return self.pairs == 1

    def full(self, axis: int) -> bool:
        """Whether no row, or no column, is left over."""
        return self.groups[axis] * self.shape[axis] == self.size[axis]

    @property
    def exact(self) -> bool:
        """Whether every entry belongs to the only pair."""
        return self.single and self.full(0) and self.full(1)

    @property
    def split(self) -> bool:
        """Whether a change of shape parts the pairs: powers of two that fill the tile."""
        powers = all(n & (n - 1) == 0 for n in self.shape)
        return not self.single and powers and self.full(0) and self.full(1)


def tile_of(shape: Pair, groups: Pair | None = None) -> Tile:
    """The tile of images of ``shape``, with as many pairs as fit unless ``groups``."""
    if groups is None:
        rows, cols = power(shape[0]), power(shape[1])
        rows = max(rows, ENTRIES // cols)
        return Tile(shape, (rows, cols), (rows // shape[0], cols // shape[1]))
    size = [power(n * g) for n, g in zip(shape, groups, strict=True)]
    return Tile(shape, (size[0], size[1]), groups)


def power(n: int) -> int:
    """The smallest power of two that is n or more."""
    return 1 << (n - 1).bit_length()
