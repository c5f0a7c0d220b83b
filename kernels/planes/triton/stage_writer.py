"""Writes a kernel of a stage: which pixels and pairs lanes are, and the loops."""

from ..program import Box, track
from .stage_ends import Ends
from .stage_source import (
    ARGUMENTS,
    StageKernel,
    is_mapped,
    map_pixels,
    regions,
)


def source(spec: StageKernel, kernel: str) -> str:
    """The source code of "forward", "backward" or "record"."""
    return _Writer(spec, kernel).text()


class _Writer(Ends):
    """The frame of a kernel; operations, entry and exit are in the base classes."""

    def __init__(self, spec: StageKernel, kernel: str) -> None:
        super().__init__(spec, kernel)
        self.regions = regions(self.stage)
        # Whether t can be other than zero at the current value before every operation.
        self.given, flags = [], list(spec.flags)
        for op in self.stage.ops:
            self.given.append(flags[-1] and spec.want_t)
            track(op, flags)
        self.exit_flags = [flag and spec.want_t for flag in flags]
        # Which rows have gradients at the exit: all that a torus goes through.
        self.seeded = "(i == i)" if self.stage.torus else "(i < high)"

    def text(self) -> str:
        arguments = ", ".join(ARGUMENTS[self.kernel].split())
        self.lines = ["@triton.jit", f"def {self.kernel}({arguments}):"]
        self._lanes()
        if self.recording:
            self._one_image()
        else:
            self._planes()
        return "\n".join(self.lines) + "\n"

    def lead(self, adjoint: bool = False) -> int:
        """Rows of a torus that boxes need before the first one."""
        boxes = [op for op in self.stage.ops if isinstance(op, Box)]
        spans = (op.after[0] if adjoint else op.before[0] for op in boxes)
        return sum(spans) if self.stage.torus else 0

    def _lanes(self) -> None:
        """Which column and which pair every lane is.

        Lanes that are left over do what another one does, and store nothing.
        """
        lanes, wide = self.lanes, self.stage.shape[1]
        self.put(f"line = tl.arange(0, {lanes.lines})[:, None]")
        # A minimum hides how lanes are aligned in memory; see ``pointers``.
        last = lanes.width - 1
        self.put(f"lane = tl.minimum(tl.arange(0, {lanes.width})[None, :], {last})")
        self.put("tall = line * 0")
        self.put(f"column = lane % {lanes.group}")
        self.put(f"j = tl.minimum(column, {wide - 1})")
        group = f"line * {lanes.groups} + lane // {lanes.group}"
        self.put(f"pair = tl.program_id(0) * {lanes.pairs} + {group}")
        self.put(f"stored = (pair < pairs) & (column < {wide})")
        if not self.recording and self.stage.pool:
            pooled = f"(pair < pairs) & (column < {self.stage.pool.shape[1]})"
            self.put(f"pooled = {pooled}")
        self.put("pair = tl.minimum(pair, pairs - 1)")
        if self.recording:
            self.put("n = pair.to(tl.int64)")
        else:
            self.pointers("at", "first + pair")
            self.put("n = tl.load(at).to(tl.int64)")
            self.pointers("at", "second + pair")
            self.put("m = tl.load(at).to(tl.int64)")
            self.put("pair = pair.to(tl.int64)")
        self.pointers("map1", "maps1 + n * map_size + j")

    def _one_image(self) -> None:
        """The plane d = 0 of an image with itself."""
        pixels = self.stage.shape[0] * self.stage.shape[1]
        self.put("d = tl.program_id(1) * 0")
        self.put("e, low = d, d")
        self.put(f"high = low + {self.stage.shape[0]}")
        self._columns_of_plane()
        if self.spec.before is None:
            self.pointers("image1", f"source1 + n * {self.spec.channels * pixels} + j")
            self.put("image2 = image1")
        else:
            self.pointers("entry", f"source1 + n * {len(self.spec.flags) * pixels} + j")
        self.record()

    def _columns_of_plane(self) -> None:
        """What depends on the displacement along a row."""
        lanes, wide = self.lanes, self.stage.shape[1]
        self.put(f"j2 = partner(j, e, {wide})")
        for o in self._offsets():
            near = f"(column + {o} + {wide * -(-abs(o) // wide)}) % {wide}"
            if not self.stage.torus:
                near = f"tl.minimum(tl.maximum(column + {o}, 0), {lanes.group - 1})"
            name, inside = self._near(o)
            self.put(f"{name} = lane - column + {near} + tall")
            if not self.stage.torus:
                there = f"neighbour(column, {o}, e, {wide})"
                there = f"tl.where({there}, 1.0, 0.0).to({self.spec.type})"
                self.put(f"{inside} = {there}")

    def _offsets(self) -> list[int]:
        """The offsets that boxes read at along a row."""
        found = set()
        for op in self.stage.ops:
            if isinstance(op, Box):
                found |= set(range(-op.before[1], op.after[1] + 1))
        if self.kernel == "backward":
            found |= {-o for o in found}
        return sorted(found - {0})

    def _near(self, o: int) -> tuple[str, str]:
        name = f"near_{'m' if o < 0 else 'p'}{abs(o)}"
        return name, f"{name}_inside"

    def neighbour_lane(self, o: int) -> tuple[str, str | None]:
        """The lane of the pixel at an offset, and 1 where there is one, else 0."""
        name, inside = self._near(o)
        return name, None if self.stage.torus else inside

    def _planes(self) -> None:
        """The loops over the planes of a block of rows of displacements."""
        last, back = self.stage.pool is None, self.kernel == "backward"
        self._bases()
        if last:
            self.seeds() if back else self.begin_sums()
        self.put("for at in range(begin, end):")
        self.depth += 1
        self.put("a = tl.load(order + at)")
        self._displacement("d", "rows", "a", "u")
        size = self.stage.shape[0]
        # Planes d and d - N are not always both needed.
        self.put(f"low = tl.where(d_flags == 2, {size} - d, 0)")
        self.put(f"high = tl.where(d_flags == 1, {size} - d, {size})")
        if not last:
            self.feeds(0, owned=not back)
        self.put("for b in range(0, n_cols):")
        self.depth += 1
        self._displacement("e", "cols", "b", "w")
        self._plane(last)
        if last and not back:
            self.begin_plane()
        self.rows(self._backward_rows if back else self._forward_rows, self.lead())
        if back:
            # What one thread has kept another may read.
            self.put("tl.debug_barrier()")
            self.rows(self._gradient_rows, self.lead(adjoint=True))
        if last and not back:
            self.end_plane()
        if not last or back:
            # The next plane adds to the same places, in other threads.
            self.put("tl.debug_barrier()")
        self.depth -= 2
        if last and not back:
            self.store_sums()

    def _bases(self) -> None:
        """Where things of a pair, or of a program instance, begin in memory."""
        spec, pixels = self.spec, self.stage.shape[0] * self.stage.shape[1]
        self.put("block = tl.program_id(1)")
        self.put("begin = tl.load(blocks + 4 * block)")
        self.put("end = tl.load(blocks + 4 * block + 1)")
        values = len(spec.flags) * spec.parts
        planes = f"pair * ({values} * n_rows * n_cols)"
        if spec.before is None:
            self.pointers("image1", f"source1 + n * {spec.channels * pixels} + j")
        else:
            self.pointers("entry", f"source1 + {planes} * {pixels} + j")
        if self.stage.pool:
            high, wide = self.stage.pool.shape
            count = f"{len(self.exit_flags) * spec.parts} * next_rows * next_cols"
            pooled = "seed" if self.kernel == "backward" else "target"
            self.put(f"{pooled}_pair = {pooled} + pair * ({count}) * {high * wide}")
            if self.kernel == "forward":
                self.put("first_row = tl.load(blocks + 4 * block + 2)")
                self.put("end_row = tl.load(blocks + 4 * block + 3)")
        if self.kernel == "backward":
            program = "tl.program_id(0).to(tl.int64) * n_blocks + block"
            at = f"line * {self.lanes.width} + lane"
            self.pointers("work", f"scratch + ({program}) * {spec.kept} + {at}")
            self.put("slot = pair * n_blocks + block")
            self.pointers(
                "map_bar_1", f"map_bar1 + slot * {map_pixels(self.stage)} + j"
            )
            if spec.before is None:
                size = spec.channels * pixels
                self.pointers("image_bar1", f"bar1 + slot * {size} + j")
            else:
                self.pointers("entry_bar", f"bar1 + {planes} * {pixels} + j")

    def _displacement(self, d: str, table: str, number: str, feed: str) -> None:
        """A displacement, its flags, and where it is pooled to."""
        self.put(f"{d} = tl.load({table} + 4 * {number})")
        self.put(f"{d}_flags = tl.load({table} + 4 * {number} + 1)")
        if self.stage.pool:
            self.put(f"{feed}0 = tl.load({table} + 4 * {number} + 2)")
            self.put(f"{feed}1 = tl.load({table} + 4 * {number} + 3)")

    def _plane(self, last: bool) -> None:
        """What depends on the displacement along a row, in a kernel of pairs."""
        spec, pixels = self.spec, self.stage.shape[0] * self.stage.shape[1]
        self._columns_of_plane()
        wide = self.stage.shape[1]
        live = "" if self.lanes.full else f" & (column < {wide})"
        self.put(f"wanted = needed(e, e_flags, j, {wide}){live}")
        self.pointers("map2", "maps2 + m * map_size + j2")
        if spec.before is None:
            self.pointers("image2", f"source2 + m * {spec.channels * pixels} + j2")
        if self.kernel == "backward":
            self.pointers(
                "map_bar_2", f"map_bar2 + slot * {map_pixels(self.stage)} + j2"
            )
            if spec.before is None:
                size = spec.channels * pixels
                self.pointers("image_bar2", f"bar2 + slot * {size} + j2")
        if not last:
            self.feeds(1, owned=False)
            back = self.kernel == "backward"
            self.unpool_columns() if back else self.pool_columns()

    def _forward_rows(self) -> int:
        values = self.aligned(self.forward_ops(self.entry()))
        self.sum_up(values) if self.stage.pool is None else self.pool(values)
        return values[0].lag

    def _backward_rows(self) -> int:
        """The way forward up to the last operation whose input is kept."""
        mapped = [n for n, given in enumerate(self.stage.ops) if is_mapped(given)]
        if not mapped:
            return 0
        return max(v.lag for v in self.forward_ops(self.entry(), mapped[-1] + 1))

    def _gradient_rows(self) -> int:
        bars = self.seed() if self.stage.pool is None else self.unpool()
        return self.entry_bar(self.backward_ops(bars))
