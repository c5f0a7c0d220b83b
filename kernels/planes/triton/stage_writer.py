"""Writes a kernel of a stage: which pixels and pairs entries are, and the loops."""

from ..program import Box
from .stage_ends import Ends
from .stage_operations import Operations
from .stage_source import ARGUMENTS, StageKernel, regions


def source(spec: StageKernel, kernel: str) -> str:
    """The source code of "forward", "backward" or "record"."""
    return _Writer(spec, kernel).text()


class _Writer(Operations, Ends):
    """The frame of a kernel; operations, entry and exit are in the base classes."""

    def __init__(self, spec: StageKernel, kernel: str) -> None:
        super().__init__(spec, kernel)
        self.regions = regions(self.stage)

    def text(self) -> str:
        arguments = ", ".join(ARGUMENTS[self.kernel].split())
        self.lines = ["@triton.jit", f"def {self.kernel}({arguments}):"]
        self._pairs()
        if self.recording:
            self._place(0, "0")
            self._place(1, "0")
            self._addresses("0")
            self.forward_ops(self.entry())
        else:
            self._planes()
        return "\n".join(self.lines) + "\n"

    def _pairs(self) -> None:
        """Which pixel and which pair every entry of the tile is."""
        (high, wide), tile = self.stage.shape, self.tile
        rows, cols = tile.size
        self.put(f"r, c = tl.arange(0, {rows}), tl.arange(0, {cols})")
        self.put(f"i, j = r % {high}, c % {wide}")
        self.put(f"spot = (r * {cols})[:, None] + c[None, :]")
        for axis, (index, pixel) in enumerate(("ri", "cj")):
            if not tile.full(axis):
                filled = tile.shape[axis] * (1 if axis else tile.pairs)
                self.put(f"{pixel}_live = {index} < {filled}")
        live, mask = self.alive("i", "j"), ""
        if tile.single:
            self.put("pair = tl.program_id(0)")
        else:
            self.put(f"pair = tl.program_id(0) * {tile.pairs} + (r // {high})[:, None]")
            self.put("paired = pair < pairs")
            live.insert(0, "paired")
            mask = ", mask=paired, other=0"
        if live:
            self.put(f"live = {' & '.join(live)}")
        if self.recording:
            self.put("n = pair.to(tl.int64)")
        else:
            self.put(f"n = tl.load(first + pair{mask}).to(tl.int64)")
            self.put(f"m = tl.load(second + pair{mask}).to(tl.int64)")
            self.put("pair = pair.to(tl.int64)")
        program = (
            "tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)"
        )
        size = self.spec.buffers * tile.entries
        self.put(f"work = scratch + ({program}) * {size}")

    def _place(self, axis: int, d: str) -> None:
        """What depends on the displacement along one axis."""
        pixel, size = "ij"[axis], self.stage.shape[axis]
        self.put(f"{pixel}2 = partner({pixel}, {d}, {size})")
        if not self.recording:
            self.put(f"{pixel}_needed = needed({d}, {d}_flags, {pixel}, {size})")
        live = "" if self.tile.full(axis) else f" & {pixel}_live"
        for o, wrap in self._offsets(axis):
            step, inside = self.neighbour(axis, o, wrap)
            self.put(f"{step}, {inside} = neighbour({pixel}, {o}, {d}, {size}, {wrap})")
            if live:
                self.put(f"{inside} = {inside}{live}")

    def _offsets(self, axis: int) -> list[tuple[int, bool]]:
        """The offsets that boxes read at along an axis, and whether they wrap."""
        found = set()
        for op in self.stage.ops:
            if isinstance(op, Box):
                offsets = set(range(-op.before[axis], op.after[axis] + 1))
                if self.kernel == "backward":
                    offsets |= {-o for o in offsets}
                found |= {(o, op.padding == "CIRCULAR") for o in offsets if o}
        return sorted(found)

    def _planes(self) -> None:
        """The loops over the tiles of a block of rows of displacements."""
        last = self.stage.pool is None
        self.put("block = tl.program_id(1)")
        self.put("begin = tl.load(blocks + 4 * block)")
        self.put("end = tl.load(blocks + 4 * block + 1)")
        if self.kernel == "forward":
            self.begin_sums() if last else self.pooled_pixels()
        self.put("for at in range(begin, end):")
        self.depth += 1
        self.put("a = tl.load(order + at)")
        self._load_tile("d", "rows", "a", "u")
        self._place(0, "d")
        if last and self.kernel == "forward":
            self.begin_row()
        self.put("for b in range(0, n_cols):")
        self.depth += 1
        self._load_tile("e", "cols", "b", "w")
        self._place(1, "e")
        live = "" if self.tile.exact else " & live"
        self.put(f"wanted = i_needed[:, None] & j_needed[None, :]{live}")
        # Zero, which the compiler does not know: what it takes for the same in every
        # turn of the loop would fill the registers.
        self.put("zero = e_flags // 4")
        self._addresses("zero")
        values, history = self.forward_ops(self.entry())
        if self.kernel == "backward":
            bars = self.seed(values) if last else self.unpool(values)
            self.entry_bar(self.backward_ops(bars, history))
        elif last:
            self.sum_up(values)
        else:
            self.pool(values)
        # The next tile goes through the same buffers, in other threads.
        self.put("tl.debug_barrier()")
        self.depth -= 1
        if last and self.kernel == "forward":
            self.end_row()
        self.depth -= 1
        if last and self.kernel == "forward":
            self.store_sums()

    def _load_tile(self, d: str, table: str, number: str, feed: str) -> None:
        """A displacement, its flags, and where it is pooled to."""
        self.put(f"{d} = tl.load({table} + 4 * {number})")
        self.put(f"{d}_flags = tl.load({table} + 4 * {number} + 1)")
        if self.stage.pool:
            self.put(f"{feed}0 = tl.load({table} + 4 * {number} + 2)")
            self.put(f"{feed}1 = tl.load({table} + 4 * {number} + 3)")

    def _addresses(self, zero: str) -> None:
        wide = self.stage.shape[1]
        self.put(f"at1 = (i * {wide} + {zero})[:, None] + j[None, :]")
        self.put(f"at2 = (i2 * {wide} + {zero})[:, None] + j2[None, :]")
