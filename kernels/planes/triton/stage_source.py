"""Source code of the Triton kernels of one stage, written out operation by operation.

A stage is known when its kernels are compiled: its operations become straight-line
code on one tile of k and one of t, the values on its stack become variables. What
depends on the pairs and on the planes that are wanted (displacements, the planes that a
plane is pooled into) comes in tables, so that a stage of one program serves every
readout and every cone of need.

Kernels of a stage, one program instance for a group of pairs and a block of rows of
displacements:

* ``forward``: planes through the stage; the last stage adds them up, others pool them.
* ``backward``: the same, then the gradient back, into images or the planes at entry.
* ``record``: the variances of one image, that is d = 0 of the pair (x, x).
"""

from dataclasses import dataclass

from ..encode_activation import dual_of
from ..program import (
    Activate,
    Add,
    Affine,
    Box,
    Normalize,
    Op,
    Pair,
    Pool,
    Push,
    Stage,
    Swap,
)
from .encoding import parameters
from .stage_tile import Tile, tile_of

ARGUMENTS = {
    "forward": (
        "source1 source2 maps1 maps2 map_size first second pairs rows cols n_rows n_cols "
        "order blocks n_blocks row_feeds col_feeds next_rows next_cols target"
    ),
    "backward": (
        "source1 source2 maps1 maps2 map_size first second pairs rows cols n_rows n_cols "
        "order blocks n_blocks row_feeds col_feeds next_rows next_cols seed bar1 bar2 "
        "map_bar1 map_bar2"
    ),
    "record": "source1 maps1 map_size pairs",
}


@dataclass(frozen=True)
class StageKernel:
    """What the source code of the kernels of one stage depends on.

    Args:
        stage: the operations.
        before: the pool that made its images, None at the input.
        want_t: whether the NTK is wanted.
        flags: per value at entry, the current one last, whether t can be non-zero.
        channels: of the input images, for the first stage.
        maps: number of the first map of the stage, in pixels.
        double: float64 instead of float32.
    """

    stage: Stage
    before: Pool | None
    before_exit: Pair | None
    want_t: bool
    flags: tuple[bool, ...]
    channels: int
    maps: int
    double: bool

    @property
    def tile(self) -> Tile:
        return tile_of(self.stage.shape)

    @property
    def parts(self) -> int:
        """Planes per value: k, or k and t."""
        return 2 if self.want_t else 1

    @property
    def exit_flags(self) -> tuple[bool, ...]:
        """``flags`` after the operations."""
        flags = list(self.flags)
        for op in self.stage.ops:
            track(op, flags)
        return tuple(flags)

    @property
    def parameters(self) -> tuple[tuple[float, ...], ...]:
        """The parameters of the duals, one after the other."""
        ops = (op for op in self.stage.ops if isinstance(op, Activate))
        return tuple(parameters(dual_of(op.activation)) for op in ops)

    def source(self, kernel: str) -> str:
        """The source code of "forward", "backward" or "record"."""
        return _Writer(self, kernel).text()


def track(op: Op, flags: list[bool]) -> None:
    """Whether t can be non-zero in the current value (last) and in the saved ones."""
    if isinstance(op, Affine):
        flags[-1] = flags[-1] or op.u != 0 or op.v != 0
    elif isinstance(op, Push):
        flags.append(flags[-1])
    elif isinstance(op, Swap):
        flags[-1], flags[-2] = flags[-2], flags[-1]
    elif isinstance(op, Add):
        last = flags.pop()
        flags[-1] = flags[-1] or last


def map_offsets(stage: Stage) -> list[int | None]:
    """For every operation the number of its map in the stage, None without one."""
    offsets: list[int | None] = []
    count = 0
    for op in stage.ops:
        mapped = isinstance(op, Activate | Normalize)
        offsets.append(count * stage.shape[0] * stage.shape[1] if mapped else None)
        count += mapped
    return offsets


def map_pixels(stage: Stage) -> int:
    """Numbers in the variances of one image that a stage needs."""
    mapped = sum(isinstance(op, Activate | Normalize) for op in stage.ops)
    return mapped * stage.shape[0] * stage.shape[1]


Value = tuple[str, str | None]


class _Writer:
    """Writes one kernel line by line; values are pairs of names of variables."""

    def __init__(self, spec: StageKernel, kernel: str) -> None:
        self.spec, self.kernel = spec, kernel
        self.stage, self.tile = spec.stage, spec.tile
        self.lines: list[str] = []
        self.depth = 1
        self.names = 0
        self.type = "tl.float64" if spec.double else "tl.float32"
        self.recording = kernel == "record"
        self.exact = self.tile.exact
        self.masked = "" if self.exact else ", mask=live, other=0.0"
        self.stored = "" if self.exact else ", mask=live"
        self.regions = regions(self.stage)

    def text(self) -> str:
        arguments = ", ".join(ARGUMENTS[self.kernel].split())
        self.lines = ["@triton.jit", f"def {self.kernel}({arguments}):"]
        self._pairs()
        if self.recording:
            self._record()
        else:
            self._planes()
        return "\n".join(self.lines) + "\n"

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def let(self, expression: str, name: str = "v") -> str:
        """Assign to a new variable; its name."""
        self.names += 1
        variable = f"{name}{self.names}"
        self.put(f"{variable} = {expression}")
        return variable

    # The tile: which pixel and which pair every entry is.

    def _pairs(self) -> None:
        (high, wide), tile = self.stage.shape, self.tile
        self.put(f"r, c = tl.arange(0, {tile.size[0]}), tl.arange(0, {tile.size[1]})")
        if tile.single:
            self.put("i, j = r, c")
            self.put("pair = tl.program_id(0)")
            if not self.exact:
                self.put(f"live = (i < {high})[:, None] & (j < {wide})[None, :]")
            mask = ""
        else:
            self.put(f"i, j = r % {high}, c % {wide}")
            groups = tile.groups
            self.put(f"pair = tl.program_id(0) * {tile.pairs} + (")
            self.put(
                f"    (r // {high} * {groups[1]})[:, None] + (c // {wide})[None, :]"
            )
            self.put(")")
            self.put(f"live = (r < {groups[0] * high})[:, None]")
            self.put(
                f"live = live & (c < {groups[1] * wide})[None, :] & (pair < pairs)"
            )
            mask = ", mask=live, other=0"
        if self.recording:
            self.put("n = pair.to(tl.int64)")
            self.put("m = n")
        else:
            self.put(f"n = tl.load(first + pair{mask}).to(tl.int64)")
            self.put(f"m = tl.load(second + pair{mask}).to(tl.int64)")
            self.put("pair = pair.to(tl.int64)")

    def _place(self, axis: int) -> None:
        """The displacement of one axis, its matrices and its partner pixels."""
        pixel, d, size, groups = (
            "ij"[axis], "de"[axis], self.stage.shape[axis], self.tile.groups[axis]
        )  # fmt: skip
        self.put(f"{pixel}2 = partner({pixel}, {d}, {size})")
        if not self.recording:
            self.put(f"{d}_needed = needed({d}, {d}_flags, {pixel}, {size})")
        for number, op in enumerate(self._boxes()):
            margins = op.before[axis], op.after[axis]
            for adjoint in (False, True)[: 2 if self.kernel == "backward" else 1]:
                # A column matrix stands on the right, transposed.
                low, high = margins[:: -1 if adjoint != (axis == 1) else 1]
                wrap = op.padding == "CIRCULAR"
                name = f"{'AB'[axis]}{number}{'t' if adjoint else ''}"
                self.put(
                    f"{name} = box_matrix({d}, {size}, {groups}, {self.tile.size[axis]},"
                    f" {low}, {high}, {wrap}, {self.type})"
                )

    def _boxes(self) -> list[Box]:
        """The different boxes of the stage."""
        return list(dict.fromkeys(op for op in self.stage.ops if isinstance(op, Box)))

    # Loops.

    def _record(self) -> None:
        self.put("d = 0")
        self._place(0)
        self.put("e = 0")
        self._place(1)
        self._addresses()
        self._forward(self._entry())

    def _planes(self) -> None:
        last = self.stage.pool is None
        self.put("block = tl.program_id(1)")
        self.put(
            "begin, end = tl.load(blocks + 4 * block), tl.load(blocks + 4 * block + 1)"
        )
        if not last and self.kernel == "forward":
            self.put("low = tl.load(blocks + 4 * block + 2)")
            self.put("high = tl.load(blocks + 4 * block + 3)")
        size = f"[{self.tile.size[0]}, {self.tile.size[1]}]"
        if last and self.kernel == "forward":
            for part in "kt"[: self.spec.parts]:
                self.put(f"total_{part} = tl.zeros({size}, tl.float64)")
        if not last:
            self._pooled_pixels()
        self.put("for at in range(begin, end):")
        self.depth += 1
        self.put("a = tl.load(order + at)")
        self.put("d, d_flags = tl.load(rows + 4 * a), tl.load(rows + 4 * a + 1)")
        if not last:
            self.put("u0, u1 = tl.load(rows + 4 * a + 2), tl.load(rows + 4 * a + 3)")
        self._place(0)
        if last and self.kernel == "forward":
            for part in "kt"[: self.spec.parts]:
                self.put(f"sum_{part} = tl.zeros({size}, {self.type})")
        self.put("for b in range(0, n_cols):")
        self.depth += 1
        self.put("e, e_flags = tl.load(cols + 4 * b), tl.load(cols + 4 * b + 1)")
        if not last:
            self.put("w0, w1 = tl.load(cols + 4 * b + 2), tl.load(cols + 4 * b + 3)")
        self._place(1)
        self.put("wanted = d_needed[:, None] & e_needed[None, :]")
        if not self.exact:
            self.put("wanted = wanted & live")
        self._addresses()
        values, history = self._forward(self._entry())
        if self.kernel == "forward":
            self._sum(values) if last else self._pool(values)
        else:
            bars = self._seed(values) if last else self._unpool(values)
            bars = self._backward(bars, history)
            self._entry_bar(bars)
        self.depth -= 1
        if last and self.kernel == "forward":
            for part in "kt"[: self.spec.parts]:
                self.put(f"total_{part} += sum_{part}.to(tl.float64)")
        self.depth -= 1
        if last and self.kernel == "forward":
            self._store_sums()

    def _addresses(self) -> None:
        wide = self.stage.shape[1]
        self.put(f"at1 = (i * {wide})[:, None] + j[None, :]")
        self.put(f"at2 = (i2 * {wide})[:, None] + j2[None, :]")

    # Entry and exit.

    def _entry(self) -> list[Value]:
        mask = "mask=live, other=0.0" if not self.exact else ""
        if not self.recording:
            mask = "mask=wanted, other=0.0"
        if self.spec.before is None:
            return [(self._inner_products(mask), None)]
        pixels = self.stage.shape[0] * self.stage.shape[1]
        plane = "0" if self.recording else "a * n_cols + b"
        count = 1 if self.recording else "n_rows * n_cols"
        index = "n" if self.recording else "pair"
        parts = 1 if self.recording else self.spec.parts
        scale = self._entry_scale()
        values: list[Value] = []
        for v, has_t in enumerate(self.spec.flags):
            names: list[str | None] = []
            for part in range(2):
                if part >= parts or (part == 1 and not has_t):
                    names.append(None)
                    continue
                number = v * parts + part
                start = f"({index} * {len(self.spec.flags) * parts} + {number})"
                where = f"({start} * ({count}) + {plane}) * {pixels} + at1"
                loaded = f"tl.load(source1 + {where}{', ' + mask if mask else ''})"
                names.append(self.let(f"{loaded}{scale}", "kt"[part]))
            values.append((names[0], names[1]))
        return values

    def _inner_products(self, mask: str) -> str:
        channels = self.spec.channels
        pixels = self.stage.shape[0] * self.stage.shape[1]
        mask = f", {mask}" if mask else ""
        self.put(f"image1 = source1 + n * {channels * pixels} + at1")
        second = "source1 + n" if self.recording else "source2 + m"
        self.put(f"image2 = {second} * {channels * pixels} + at2")
        k = self.let(
            f"tl.zeros([{self.tile.size[0]}, {self.tile.size[1]}], {self.type})", "k"
        )
        unrolled = "tl.static_range" if channels <= 4 else "range"
        self.put(f"for channel in {unrolled}({channels}):")
        self.put(f"    x1 = tl.load(image1 + channel * {pixels}{mask})")
        self.put(f"    x2 = tl.load(image2 + channel * {pixels}{mask})")
        self.put(f"    {k} += x1 * x2")
        return self.let(f"{k} * {1.0 / channels!r}", "k")

    def _entry_scale(self) -> str:
        """The factor of pooled planes, written after what it multiplies."""
        pool, exits = self.spec.before, self.spec.before_exit
        if not pool.edges:
            return "" if pool.scale == 1 else f" * {pool.scale**2!r}"
        for axis, pixel in enumerate("ij"):
            given = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}, {exits[axis]}"
            self.put(
                f"{pixel}_inside = pixels_under({pixel}, {given}) * "
                f"pixels_under({pixel}2, {given})"
            )
        inside = "(i_inside[:, None] * j_inside[None, :])"
        return f" * {pool.scale**2!r} / {inside}.to({self.type})"

    def _sum(self, values: list[Value]) -> None:
        (k, t) = values[-1]
        counted = self._counted()
        self.put(f"sum_k += tl.where({counted}, {k}, 0.0)")
        if t:
            self.put(f"sum_t += tl.where({counted}, {t}, 0.0)")

    def _counted(self) -> str:
        """The entries of the last stage that the readout adds up."""
        inside = self._inside(self.regions[-1])
        return f"wanted & {inside}" if inside else "wanted"

    def _store_sums(self) -> None:
        parts = self.spec.parts
        for p, part in enumerate("kt"[:parts]):
            if self.tile.single:
                total = f"tl.sum(tl.sum(total_{part}, 1), 0)"
                self.put(
                    f"tl.store(target + (pair * n_blocks + block) * {parts} + {p}, {total})"
                )
                continue
            self.put(f"for g in range({self.tile.pairs}):")
            self.put(f"    here = tl.program_id(0) * {self.tile.pairs} + g")
            self.put(f"    chosen = tl.where(pair == here, total_{part}, 0.0)")
            self.put(
                "    place = (here.to(tl.int64) * n_blocks + block) * "
                + f"{parts} + {p}"
            )
            self.put("    total = tl.sum(tl.sum(chosen, 1), 0)")
            self.put("    tl.store(target + place, total, mask=here < pairs)")

    # Pools.

    def _pooled_pixels(self) -> None:
        """Which pooled pixel and which pair every entry of a pooled tile is."""
        (high, wide), tile = self.stage.pool.shape, self.pooled
        self.put(f"R, C = tl.arange(0, {tile.size[0]}), tl.arange(0, {tile.size[1]})")
        self.put(f"I, J = R % {high}, C % {wide}")
        self.put(f"at_pooled = (I * {wide})[:, None] + J[None, :]")
        self.put(f"live_pooled = (R < {tile.groups[0] * high})[:, None]")
        self.put(f"live_pooled = live_pooled & (C < {tile.groups[1] * wide})[None, :]")
        if tile.single:
            self.put("pair_pooled = pair")
        else:
            self.put(f"pair_pooled = tl.program_id(0) * {tile.pairs} + (")
            self.put(
                f"    (R // {high} * {tile.groups[1]})[:, None] + (C // {wide})[None, :]"
            )
            self.put(")")
            self.put("live_pooled = live_pooled & (pair_pooled < pairs)")
            self.put("pair_pooled = pair_pooled.to(tl.int64)")

    @property
    def pooled(self) -> Tile:
        return tile_of(self.stage.pool.shape, self.tile.groups)

    def _pool_matrix(self, axis: int, transposed: bool) -> str:
        """The matrix of one axis: ``[pooled, pixels]`` or its transpose."""
        pool, first, exits = (
            self.stage.pool,
            self.regions[-1][axis][0],
            self.stage.shapes[-1],
        )
        size, pixel, big = self.stage.shape[axis], "ij"[axis], "IJ"[axis]
        index, pooled = "rc"[axis], "RC"[axis]
        here, there = ("[:, None]", "[None, :]")[:: -1 if transposed else 1]
        displaced = "DE"[axis], "de"[axis]
        numbers = f"{pool.shape[axis]}, {size}, {self.tile.groups[axis]}, {first}, {exits[axis]}"
        window = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}"
        return (
            f"pool_matrix(({pooled} // {pool.shape[axis]}){here}, {big}{here}, "
            f"({index} // {size}){there}, {pixel}{there}, {displaced[0]}, {displaced[1]}, "
            f"{numbers}, {window}, {pool.circular}, {self.type})"
        )

    def _feeds(self, axis: int) -> None:
        """Begin the loop over the pooled rows or columns that the tile adds to."""
        name, low, big = ("row", "u", "D") if axis == 0 else ("col", "w", "E")
        self.put(f"for {low} in range({low}0, {low}1):")
        self.depth += 1
        self.put(f"{name} = tl.load({name}_feeds + 2 * {low})")
        self.put(f"{big} = tl.load({name}_feeds + 2 * {low} + 1)")

    def _pooled_address(self, value: int, part: int) -> str:
        high, wide = self.stage.pool.shape
        number = value * self.spec.parts + part
        count = self.stage.depths[-1] + 1
        start = f"(pair_pooled * {count * self.spec.parts} + {number})"
        plane = "row * next_cols + col"
        return (
            f"({start} * (next_rows * next_cols) + {plane}) * {high * wide} + at_pooled"
        )

    def _pool(self, values: list[Value]) -> None:
        self._feeds(0)
        self.put("if (row >= low) & (row < high):")
        self.depth += 1
        left = self.let(self._pool_matrix(0, False), "L")
        parts = [
            (v, p, self.let(f"from_left({left}, {name})"))
            for v, value in enumerate(values)
            for p, name in enumerate(value)
            if name
        ]
        self._feeds(1)
        right = self.let(self._pool_matrix(1, True), "R")
        for v, p, name in parts:
            added = self.let(f"from_right({name}, {right})")
            place = self.let(f"target + {self._pooled_address(v, p)}", "place")
            old = f"tl.load({place}, mask=live_pooled, other=0.0)"
            self.put(f"tl.store({place}, {old} + {added}, mask=live_pooled)")
        self.depth -= 3
        # The next plane adds to the same pooled planes, perhaps from other threads.
        self.put("tl.debug_barrier()")

    def _unpool(self, values: list[Value]) -> list[Value]:
        """Gradients at the exit of the stage, from those of the pooled planes."""
        size = f"[{self.tile.size[0]}, {self.tile.size[1]}]"
        bars = [
            tuple(
                name and self.let(f"tl.zeros({size}, {self.type})", "g")
                for name in value
            )
            for value in values
        ]
        self._feeds(0)
        left = self.let(self._pool_matrix(0, True), "L")
        self._feeds(1)
        right = self.let(self._pool_matrix(1, False), "R")
        for v, value in enumerate(bars):
            for p, name in enumerate(value):
                if not name:
                    continue
                place = f"seed + {self._pooled_address(v, p)}"
                given = self.let(f"tl.load({place}, mask=live_pooled, other=0.0)")
                self.put(f"{name} += from_right(from_left({left}, {given}), {right})")
        self.depth -= 2
        return bars

    def _seed(self, values: list[Value]) -> list[Value]:
        mask = "" if self.tile.single else ", mask=live, other=0.0"
        counted, bars = self._counted(), []
        for p, name in enumerate(values[-1]):
            if name is None:
                bars.append(None)
                continue
            given = f"tl.load(seed + pair * {self.spec.parts} + {p}{mask})"
            bars.append(self.let(f"tl.where({counted}, {given}, 0.0)", "g"))
        return [(bars[0], bars[1])]

    def _entry_bar(self, bars: list[Value]) -> None:
        """Hand the gradient at the entry of a tile to images or to pooled planes."""
        pixels = self.stage.shape[0] * self.stage.shape[1]
        if self.spec.before is None:
            self._image_bar(bars[0][0], pixels)
            self.put("tl.debug_barrier()")
            return
        scale = self._entry_scale()
        parts, count = self.spec.parts, len(bars)
        for v, value in enumerate(bars):
            for p, name in enumerate(value):
                if name is None:
                    continue
                start = f"(pair * {count * parts} + {v * parts + p})"
                plane = f"({start} * (n_rows * n_cols) + a * n_cols + b) * {pixels}"
                kept = self.let(f"tl.where(wanted, {name}, 0.0){scale}", "g")
                self.put(f"tl.store(bar1 + {plane} + at1, {kept}{self.stored})")
        self.put("tl.debug_barrier()")

    def _image_bar(self, bar: str, pixels: int) -> None:
        channels = self.spec.channels
        bar = self.let(f"tl.where(wanted, {bar}, 0.0) * {1.0 / channels!r}", "g")
        self.put(f"slot = (pair * n_blocks + block) * {channels * pixels}")
        unrolled = "tl.static_range" if channels <= 4 else "range"
        self.put(f"for channel in {unrolled}({channels}):")
        self.depth += 1
        self.put(f"x1 = tl.load(image1 + channel * {pixels}, mask=wanted, other=0.0)")
        self.put(f"x2 = tl.load(image2 + channel * {pixels}, mask=wanted, other=0.0)")
        for side, other in ((1, 2), (2, 1)):
            where = f"bar{side} + slot + channel * {pixels} + at{side}"
            self._accumulate(where, f"{bar} * x{other}")
        self.depth -= 1

    def _accumulate(self, where: str, value: str) -> None:
        where = self.let(where, "place")
        old = f"tl.load({where}{self.masked})"
        self.put(f"tl.store({where}, {old} + {value}{self.stored})")

    # Operations.

    def _forward(self, values: list[Value]) -> tuple[list[Value], list[Value]]:
        """The values at the exit, and what every operation was given."""
        history = []
        offsets = map_offsets(self.stage)
        for n, op in enumerate(self.stage.ops):
            history.append(values[-1])
            if isinstance(op, Push):
                values = [*values, values[-1]]
            elif isinstance(op, Swap):
                values = [*values[:-2], values[-1], values[-2]]
            elif isinstance(op, Add):
                values = [*values[:-2], self._add(values[-2], values[-1])]
            else:
                value = self._apply(op, n, values[-1], offsets[n])
                history[-1] = self.given
                values = [*values[:-1], value]
        return values, history

    def _add(self, one: Value, two: Value) -> Value:
        k = self.let(f"{one[0]} + {two[0]}", "k")
        if one[1] and two[1]:
            return k, self.let(f"{one[1]} + {two[1]}", "t")
        return k, one[1] or two[1]

    def _apply(self, op: Op, n: int, value: Value, offset: int | None) -> Value:
        k, t = value
        self.given = value
        if isinstance(op, Box):
            return self._box(op, n, value, False)
        if isinstance(op, Affine):
            return self._affine(op, value)
        p, q = self._variances(op, n, k, offset)
        if isinstance(op, Normalize):
            factor = self.let(
                f"inverse_root({p} + {op.eps!r}) * inverse_root({q} + {op.eps!r})"
            )
            return (
                self.let(f"{k} * {factor}", "k"),
                t and self.let(f"{t} * {factor}", "t"),
            )
        self.names += 1
        new, slope = f"k{self.names}", f"slope{self.names}"
        self.put(f"{new}, {slope} = value({self._dual(op, n, k, p, q)})")
        return new, t and self.let(f"{t} * {slope}", "t")

    def _dual(self, op: Activate, n: int, k: str, p: str, q: str) -> str:
        """The arguments of ``duals.value`` and of ``duals.partials``."""
        family = int(dual_of(op.activation).family)
        number = sum(isinstance(before, Activate) for before in self.stage.ops[:n])
        given = f"{family}, PAR, {number}"
        M = self.let(f"dual_maps({p}, {given})", "M")
        N = M if p == q else self.let(f"dual_maps({q}, {given})", "N")
        return f"{k}, determinant({p}, {q}, {k}), {M}, {N}, {given}"

    def _variances(self, op: Op, n: int, k: str, offset: int) -> tuple[str, str]:
        offset += self.spec.maps
        if not self.recording:
            return (
                self.let(
                    f"tl.load(maps1 + n * map_size + {offset} + at1{self.masked})", "p"
                ),
                self.let(
                    f"tl.load(maps2 + m * map_size + {offset} + at2{self.masked})", "q"
                ),
            )
        p = k
        if isinstance(op, Normalize) and any(op.spatial):
            p = self._mean(op, n, k)
        self.put(f"tl.store(maps1 + n * map_size + {offset} + at1, {p}{self.stored})")
        return p, p

    def _mean(self, op: Normalize, n: int, k: str) -> str:
        """The mean over pixels of the same image, along some axes."""
        region = self.regions[n]
        inside = self._inside(region)
        mean = self.let(f"tl.where({inside}, {k}, 0.0)") if inside else k
        for axis in (0, 1):
            if not op.spatial[axis]:
                continue
            size, index = self.stage.shape[axis], "rc"[axis]
            groups = f"({index} // {size})"
            ones = self.let(
                f"({groups}[:, None] == {groups}[None, :]).to({self.type})", "ones"
            )
            low, high = region[axis]
            pair = f"{ones}, {mean}" if axis == 0 else f"{mean}, {ones}"
            function = "from_left" if axis == 0 else "from_right"
            mean = self.let(f"{function}({pair}) * {1.0 / (high - low)!r}", "p")
        return mean

    def _inside(self, region: tuple[Pair, Pair]) -> str:
        """The condition that both pixels are in a region; "" if that is all pixels."""
        conditions = []
        for axis, (low, high) in enumerate(region):
            if (low, high) == (0, self.stage.shape[axis]):
                continue
            expand = "[:, None]" if axis == 0 else "[None, :]"
            for pixel in ("ij"[axis], "ij"[axis] + "2"):
                conditions.append(f"(({pixel} >= {low}) & ({pixel} < {high})){expand}")
        return " & ".join(conditions)

    def _box(self, op: Box, n: int, value: Value, adjoint: bool) -> Value:
        number, mark = self._boxes().index(op), "t" if adjoint else ""
        # Pixels that an unpadded convolution left off count as zero from then on.
        inside = self._inside(self.regions[n]) if op.padding == "SAME" else ""
        out = []
        for name in value:
            if name and inside and not adjoint:
                name = self.let(f"tl.where({inside}, {name}, 0.0)")
            if name:
                product = (
                    f"from_right(from_left(A{number}{mark}, {name}), B{number}{mark})"
                )
                name = self.let(product, "b")
            if name and inside and adjoint:
                name = self.let(f"tl.where({inside}, {name}, 0.0)")
            out.append(name)
        return out[0], out[1]

    def _affine(self, op: Affine, value: Value) -> Value:
        k, t = value
        if not self.spec.want_t or self.recording:
            return self.let(f"{k} * {op.w!r} + {op.b!r}", "k"), None
        gain = None
        if t or op.u or op.v:
            gain = f"{t} * {op.w!r}" if t else "0.0"
            gain = self.let(f"{k} * {op.u!r} + ({gain} + {op.v!r})", "t")
        return self.let(f"{k} * {op.w!r} + {op.b!r}", "k"), gain

    # Gradients.

    def _backward(self, bars: list[Value], history: list[Value]) -> list[Value]:
        """Gradients at the entry of the stage, from those at its exit."""
        offsets = map_offsets(self.stage)
        for n in range(len(self.stage.ops) - 1, -1, -1):
            op, given = self.stage.ops[n], history[n]
            if isinstance(op, Add):
                bars = [*bars, bars[-1]]
            elif isinstance(op, Swap):
                bars = [*bars[:-2], bars[-1], bars[-2]]
            elif isinstance(op, Push):
                bars = [*bars[:-2], self._add(bars[-2], bars[-1])]
            else:
                bars = [*bars[:-1], self._pull(op, n, given, bars[-1], offsets[n])]
        return bars

    def _pull(
        self, op: Op, n: int, given: Value, bar: Value, offset: int | None
    ) -> Value:
        k, t = given
        gk, gt = bar
        if isinstance(op, Box):
            return self._box(op, n, (gk, gt if t else None), True)
        if isinstance(op, Affine):
            new = f"{gk} * {op.w!r}"
            if gt:
                new = f"{gt} * {op.u!r} + {new}"
            return self.let(new, "g"), self.let(
                f"{gt} * {op.w!r}", "g"
            ) if gt and t else None
        p, q = self._variances(op, n, k, offset)
        gain = self.let(f"{gt} * {t}") if gt and t else None
        if isinstance(op, Normalize):
            return self._pull_normalize(op, given, bar, gain, (p, q), offset)
        given = self._dual(op, n, k, p, q)
        self.names += 1
        names = [f"{name}{self.names}" for name in _PARTIALS]
        self.put(f"{', '.join(names)} = partials({given})")
        _, slope, to_c, slope_c, to_p, to_q, slope_p, slope_q = names
        along = [f"{gk} * {to_c}", f"{gk} * {to_p}", f"{gk} * {to_q}"]
        if gain:
            slopes = (slope_c, slope_p, slope_q)
            along = [f"{a} + {gain} * {s}" for a, s in zip(along, slopes, strict=True)]
        self._variance_bars(offset, along[1], along[2])
        return self.let(along[0], "g"), self.let(
            f"{gt} * {slope}", "g"
        ) if gain else None

    def _pull_normalize(self, op, given, bar, gain, variances, offset) -> Value:
        r1, r2 = (self.let(f"inverse_root({v} + {op.eps!r})", "r") for v in variances)
        factor = self.let(f"{r1} * {r2}")
        both = f"{bar[0]} * {given[0]}" + (f" + {gain}" if gain else "")
        # The derivative of v^(-1/2) is -1/2 v^(-3/2).
        both = self.let(f"({both}) * {factor} * -0.5")
        self._variance_bars(offset, f"{both} * {r1} * {r1}", f"{both} * {r2} * {r2}")
        return (
            self.let(f"{bar[0]} * {factor}", "g"),
            self.let(f"{bar[1]} * {factor}", "g") if gain else None,
        )

    def _variance_bars(self, offset: int, along1: str, along2: str) -> None:
        size = map_pixels(self.stage)
        for side, along in ((1, along1), (2, along2)):
            slot = f"(pair * n_blocks + block) * {size} + {offset} + at{side}"
            self._accumulate(f"map_bar{side} + {slot}", along)


_PARTIALS = "value slope to_c slope_c to_p to_q slope_p slope_q".split()


def regions(stage: Stage) -> list[tuple[Pair, Pair]]:
    """Per axis the pixels (first, end) of the image at entry that are left, before
    every operation and after the last; unpadded convolutions leave off some."""
    region = [(0, stage.shape[0]), (0, stage.shape[1])]
    regions = [tuple(region)]
    for op in stage.ops:
        if isinstance(op, Box) and op.padding == "VALID":
            region = [
                (low + before, high - after)
                for (low, high), before, after in zip(
                    region, op.before, op.after, strict=True
                )
            ]
        regions.append(tuple(region))
    return regions
