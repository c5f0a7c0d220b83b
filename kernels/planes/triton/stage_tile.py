"""How the planes of several pairs of images share one tile."""

from dataclasses import dataclass

from ..program import Pair

# Entries of a tile at least; planes smaller than that share one.
ENTRIES = 1024


@dataclass(frozen=True)
class Tile:
    """``size`` entries: planes of ``shape`` pixels of ``pairs`` pairs, one below the
    other."""

    shape: Pair
    size: Pair
    pairs: int

    @property
    def entries(self) -> int:
        """Entries of the tile, those included that are left over."""
        return self.size[0] * self.size[1]

    @property
    def single(self) -> bool:
        """Whether there is one pair of images in the tile."""
        return self.pairs == 1

    def full(self, axis: int) -> bool:
        """Whether no row, or no column, is left over."""
        return self.shape[axis] * (1 if axis else self.pairs) == self.size[axis]

    @property
    def exact(self) -> bool:
        """Whether every entry belongs to the only pair."""
        return self.single and self.full(0) and self.full(1)

    @property
    def split(self) -> bool:
        """Whether a change of shape parts the pairs: they fill a tile evenly."""
        powers = all(n & (n - 1) == 0 for n in self.shape)
        return not self.single and powers and self.full(0) and self.full(1)


def tile_of(shape: Pair, pairs: int | None = None) -> Tile:
    """The tile of images of ``shape``, with as many pairs as fit unless ``pairs``."""
    rows, cols = power(shape[0]), power(shape[1])
    if pairs is None:
        rows = max(rows, ENTRIES // cols)
        return Tile(shape, (rows, cols), rows // shape[0])
    return Tile(shape, (power(shape[0] * pairs), cols), pairs)


def power(n: int) -> int:
    """The smallest power of two that is n or more."""
    return 1 << (n - 1).bit_length()
