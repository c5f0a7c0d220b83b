"""Lines of source code, and the names that all parts of a kernel share."""

from ..program import Pair
from .stage_source import StageKernel

# Names of the variables k and t; t None where it is zero.
Value = tuple[str, str | None]


class Lines:
    """The code so far.

    ``i, j``: pixels of the rows and columns of the tile, ``i2, j2`` their partners;
    ``at1, at2``: places of the pixels in images; ``n, m``: numbers of the images;
    ``spot``: places of the entries in a buffer, ``work``: where the buffers are.
    """

    def __init__(self, spec: StageKernel, kernel: str) -> None:
        self.spec, self.kernel = spec, kernel
        self.stage, self.tile = spec.stage, spec.tile
        self.recording = kernel == "record"
        self.lines: list[str] = []
        self.depth = 1
        self.names = self.passes = 0
        self.regions: list[tuple[Pair, Pair]] = []
        self.loaded = "" if self.tile.exact else ", mask=live, other=0.0"
        self.stored = "" if self.tile.exact else ", mask=live"

    def put(self, line: str) -> None:
        """Append a line."""
        self.lines.append("    " * self.depth + line)

    def let(self, expression: str, name: str = "v") -> str:
        """Assign to a new variable; its name."""
        variable = self.new(name)
        self.put(f"{variable} = {expression}")
        return variable

    def new(self, name: str) -> str:
        """A name that is not taken."""
        self.names += 1
        return f"{name}{self.names}"

    def alive(self, row: str, col: str) -> list[str]:
        """Conditions that rows and columns are not left over."""
        conditions = []
        if not self.tile.full(0):
            conditions.append(f"{row}_live[:, None]")
        if not self.tile.full(1):
            conditions.append(f"{col}_live[None, :]")
        return conditions

    def buffer(self, number: int) -> str:
        """Where a buffer begins."""
        return f"work + {number * self.tile.entries}"

    def neighbour(self, axis: int, o: int, wrap: bool) -> tuple[str, str]:
        """Names of how far the neighbour at offset o is, and whether it is there."""
        name = f"{'ij'[axis]}_{'m' if o < 0 else 'p'}{abs(o)}{'_wrap' if wrap else ''}"
        return f"{name}_step", f"{name}_inside"

    def inside(self, region: tuple[Pair, Pair]) -> str:
        """The condition that both pixels are in a region; "" if that is all pixels."""
        conditions = []
        for axis, (low, high) in enumerate(region):
            if (low, high) == (0, self.stage.shape[axis]):
                continue
            expand = "[:, None]" if axis == 0 else "[None, :]"
            for pixel in ("ij"[axis], "ij"[axis] + "2"):
                conditions.append(f"(({pixel} >= {low}) & ({pixel} < {high})){expand}")
        return " & ".join(conditions)

    def loop(self, name: str, count: int, unrolled: bool) -> None:
        """Begin a loop over 0, ..., count - 1."""
        function = "tl.static_range" if unrolled else "range"
        self.put(f"for {name} in {function}({count}):")
        self.depth += 1

    def accumulate(self, where: str, value: str) -> None:
        """Add to a place in memory that belongs to this program instance."""
        where = self.let(where, "place")
        old = f"tl.load({where}{self.loaded})"
        self.put(f"tl.store({where}, {old} + {value}{self.stored})")
