"""Lines of source code, and the loop over rows that all parts of a kernel share."""

from dataclasses import dataclass

from ..program import Pair
from .stage_source import StageKernel


@dataclass(frozen=True)
class Value:
    """Variables of k and of t, t None where it is zero, ``lag`` rows behind entry."""

    k: str
    t: str | None
    lag: int

    def map(self, function, lag: int | None = None) -> "Value":
        """Apply a function to the variables."""
        t = None if self.t is None else function(self.t)
        return Value(function(self.k), t, self.lag if lag is None else lag)


class Lines:
    """The code so far.

    ``j``: column of a lane; ``j2``: its partner; ``n, m``: numbers of the images of its
    pair. In a loop over rows, ``r0, s0``: the row and its partner; ``link0``: 1 if the
    row before belongs to the same plane, else 0; ``in0``: whether the row is one of
    those asked for. ``r1, s1, ...``: the same one row before, and so on.
    """

    def __init__(self, spec: StageKernel, kernel: str) -> None:
        self.spec, self.kernel = spec, kernel
        self.stage, self.lanes = spec.stage, spec.lanes
        self.recording = kernel == "record"
        self.lines: list[str] = []
        self.depth = 1
        self.names = 0
        self.regions: list[tuple[Pair, Pair]] = []
        self.carried: list[tuple[str, str]] = []
        self.shifts: list[str] = []
        self.lags: dict[str, int] = {}

    def put(self, line: str) -> None:
        """Append a line."""
        self.lines.append("    " * self.depth + line)

    def let(self, expression: str, name: str = "v") -> str:
        """Assign to a new variable; its name."""
        variable = self.new(name)
        self.put(f"{variable} = {expression}")
        return variable

    def pointers(self, name: str, expression: str) -> str:
        """Assign a place in memory per lane, laid out as the lanes of a warp.

        The compiler gives a thread neighbours in memory where it knows that they are,
        and then no row stays within a warp; where it knows nothing, Triton 3.6 gives
        the lanes of a warp to different lines. So it is told of neighbours, but cannot
        see that they might be loaded as one.
        """
        self.put(f"{name} = tl.max_contiguous({expression}, [1, 2])")
        return name

    def new(self, name: str) -> str:
        """A name that is not taken."""
        self.names += 1
        return f"{name}_{self.names}"

    def zeros(self, type_: str = "") -> str:
        return f"tl.zeros({self.lanes.size}, {type_ or self.spec.type})"

    # Loops over rows.

    def row(self, kind: str, lag: int) -> str:
        """The variable r, s, link or in of the row ``lag`` rows behind entry."""
        self.lags[kind] = max(self.lags.get(kind, 0), lag)
        return f"{kind}{lag}"

    def before(self, name: str, rows: int) -> str:
        """The variable as it was some rows before."""
        for _ in range(rows):
            kept = self.new("kept")
            self.carried.append((kept, self.zeros()))
            # Last first, so that no row is lost.
            self.shifts.insert(0, f"{kept} = {name}")
            name = kept
        return name

    def link(self, expression: str, lag: int) -> str:
        """A row, or zero if the one before the row at ``lag`` is of another plane."""
        if self.stage.torus:
            return expression
        return f"({expression}) * {self.row('link', lag)}"

    def rows(self, body, lead: int = 0) -> None:
        """A loop over the rows of a plane.

        Args:
            body: writes what happens to a row and returns how far behind it ends.
            lead: rows of a torus that go before the first one.
        """
        self.carried, self.shifts, self.lags = [], [], {"r": 0, "s": 0, "in": 0}
        outside, self.lines = self.lines, []
        self.depth += 1
        self._row(lead)
        lag = body()
        for line in self.shifts:
            self.put(line)
        self._move_on()
        self.depth -= 1
        inside, self.lines = self.lines, outside
        for name, start in self.carried:
            self.put(f"{name} = {start}")
        start = f"-{lead}" if self.stage.torus else "low"
        self.put(f"for i in range({start}, high + {lag}):")
        self.lines += inside

    def _row(self, lead: int) -> None:
        """Where the next row is; past the last one it is the last one."""
        size = self.stage.shape[0]
        if self.stage.torus:
            self.put(f"r0 = (i + {-(-lead // size) * size}) % {size}")
            self.put("in0 = (i >= 0) & (i < high)")
        else:
            self.put("r0 = tl.minimum(i, high - 1)")
            self.put("in0 = i < high")
        self.put(f"s0 = partner(r0, d, {size})")
        if not self.stage.torus:
            joined = self.let("(i > low) & in0 & (s0 != 0)")
            self.put(f"link0 = tl.where({joined}, 1.0, 0.0).to({self.spec.type})")

    def _move_on(self) -> None:
        """The row before takes the place of this one."""
        # Every start is a number of its own: a variable that begins as another one and
        # is given that one's value in the loop is a constant to Triton (3.6 to 3.9).
        starts = {"r": "low + 0", "s": f"partner(low, d, {self.stage.shape[0]})"}
        starts |= {"in": "low < low", "link": f"(low * 0.0).to({self.spec.type})"}
        for kind, furthest in self.lags.items():
            for lag in range(furthest, 0, -1):
                self.put(f"{kind}{lag} = {kind}{lag - 1}")
                self.carried.append((f"{kind}{lag}", starts[kind]))

    # Conditions.

    def inside(self, region: tuple[Pair, Pair], lag: int) -> list[str]:
        """Conditions on the row and on columns that both pixels are in a region."""
        conditions = []
        (top, bottom), (left, right) = region
        if (top, bottom) != (0, self.stage.shape[0]):
            for row in (self.row("r", lag), self.row("s", lag)):
                conditions.append(f"({row} >= {top}) & ({row} < {bottom})")
        if (left, right) != (0, self.stage.shape[1]):
            for column in ("j", "j2"):
                conditions.append(f"({column} >= {left}) & ({column} < {right})")
        return conditions

    def masked(self, name: str, conditions: list[str], as_: str = "v") -> str:
        """A tile that is zero where a condition does not hold."""
        if not conditions:
            return name
        return self.let(f"tl.where({' & '.join(conditions)}, {name}, 0.0)", as_)

    def accumulate(self, where: str, value: str, live: str) -> None:
        """Add to a place in memory that belongs to this program instance."""
        where = self.let(where, "place")
        old = f"tl.load({where})"
        self.put(f"tl.store({where}, {old} + {value}, mask={live})")
