"""Writes the entry of a stage and the exit of the last one: images, planes, sums."""

from .stage_lines import Value
from .stage_pools import Pools

# Channels of up to so many are written out.
UNROLLED = 4


class Ends(Pools):
    """Where rows come from, and where they go."""

    def entry(self) -> list[Value]:
        """The values of a row at the entry of the stage."""
        if self.spec.before is None:
            return [Value(self._inner_products(), None, 0)]
        scale, values = self._entry_scale(), []
        parts = 1 if self.recording else self.spec.parts
        for v, has_t in enumerate(self.spec.flags):
            names: list[str | None] = [None, None]
            for part in range(1 + (has_t and parts == 2)):
                place = self._entry_place("entry", v, part, parts, 0)
                names[part] = self.let(f"tl.load({place}){scale}", "kt"[part])
            values.append(Value(names[0], names[1], 0))
        return values

    def _entry_place(self, base: str, v: int, part: int, parts: int, lag: int) -> str:
        """Place of a row of the planes at the entry."""
        high, wide = self.stage.shape
        number = v * parts + part
        plane = number if self.recording else f"({number} * n_rows + a) * n_cols + b"
        row = f"{self.row('r', lag)} * {wide}"
        return f"{base} + ({plane}) * {high * wide} + {row}"

    def _inner_products(self) -> str:
        channels, wide = self.spec.channels, self.stage.shape[1]
        pixels = self.stage.shape[0] * wide
        k = self.let(self.zeros(), "k")
        self._channels()
        self.put(f"x1 = tl.load(image1 + channel * {pixels} + r0 * {wide})")
        self.put(f"x2 = tl.load(image2 + channel * {pixels} + s0 * {wide})")
        self.put(f"{k} += x1 * x2")
        self.depth -= 1
        return self.let(f"{k} * {1.0 / channels!r}", "k")

    def _channels(self) -> None:
        channels = self.spec.channels
        function = "tl.static_range" if channels <= UNROLLED else "range"
        self.put(f"for channel in {function}({channels}):")
        self.depth += 1

    def _entry_scale(self, lag: int = 0) -> str:
        """The factor of pooled planes, written after what it multiplies."""
        pool, exits = self.spec.before, self.spec.before_exit
        if not pool.edges:
            return "" if pool.scale == 1 else f" * {pool.scale**2!r}"
        r, s, counts = self.row("r", lag), self.row("s", lag), []
        for axis, pixels in enumerate(((r, s), ("j", "j2"))):
            window = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}"
            both = (f"pixels_under({p}, {window}, {exits[axis]})" for p in pixels)
            counts.append(self.let(" * ".join(both), "count"))
        inside = f"({counts[0]} * {counts[1]})"
        return f" * {pool.scale**2!r} / {inside}.to({self.spec.type})"

    # The last stage adds up.

    def begin_sums(self) -> None:
        """Sums of all planes in float64, those of a plane in float32."""
        for part in "kt"[: self.spec.parts]:
            self.put(f"total_{part} = {self.zeros('tl.float64')}")

    def begin_plane(self) -> None:
        for part in "kt"[: self.spec.parts]:
            self.put(f"sum_{part} = {self.zeros()}")

    def sum_up(self, values: list[Value]) -> None:
        value = values[-1]
        counted = [self.row("in", value.lag), *self._counted(value.lag)]
        for part, name in zip("kt", (value.k, value.t), strict=True):
            if name:
                self.put(f"sum_{part} += {self.masked(name, counted)}")

    def _counted(self, lag: int) -> list[str]:
        """The entries that the readout adds up."""
        return ["wanted", *self.inside(self.regions[-1], lag)]

    def end_plane(self) -> None:
        for part in "kt"[: self.spec.parts]:
            self.put(f"total_{part} += sum_{part}.to(tl.float64)")

    def store_sums(self) -> None:
        lanes, parts = self.lanes, self.spec.parts
        groups = f"tl.arange(0, {lanes.lines})[:, None] * {lanes.groups}"
        groups += f" + tl.arange(0, {lanes.groups})[None, :]"
        self.put(f"group = tl.program_id(0).to(tl.int64) * {lanes.pairs} + {groups}")
        given = f"{lanes.lines}, {lanes.groups}, {lanes.group}"
        for p, part in enumerate("kt"[:parts]):
            place = f"target + (group * n_blocks + block) * {parts} + {p}"
            total = f"sum_of_groups(total_{part}, {given})"
            self.put(f"tl.store({place}, {total}, mask=group < pairs)")

    def seeds(self) -> None:
        """Gradients of the sums over planes, one number per pair."""
        for p, has_t in enumerate((True, self.exit_flags[-1])):
            if has_t:
                given = f"tl.load(seed + pair * {self.spec.parts} + {p})"
                # From the own lane: so they are laid out as rows are, once for all.
                self.put(f"seed_{p} = tl.gather({given}, lane + tall, 1)")

    def seed(self) -> list[Value]:
        """Gradients of a row at the exit, the same at every entry of a pair."""
        counted, bars = [self.seeded, *self._counted(0)], []
        for p, has_t in enumerate((True, self.exit_flags[-1])):
            bars.append(self.masked(f"seed_{p}", counted, "g") if has_t else None)
        return [Value(bars[0], bars[1], 0)]

    # The way back ends at the entry.

    def entry_bar(self, bars: list[Value]) -> int:
        """Hand the gradient of a row to images or to pooled planes; its lag."""
        if self.spec.before is None:
            return self._image_bar(bars[0])
        parts = self.spec.parts
        for v, bar in enumerate(bars):
            scale = self._entry_scale(bar.lag)
            live = f"mask=stored & {self.row('in', bar.lag)}"
            for part, name in enumerate((bar.k, bar.t)):
                if name:
                    kept = self.let(f"tl.where(wanted, {name}, 0.0){scale}", "g")
                    place = self._entry_place("entry_bar", v, part, parts, bar.lag)
                    self.put(f"tl.store({place}, {kept}, {live})")
        return max(bar.lag for bar in bars)

    def _image_bar(self, bar: Value) -> int:
        channels, wide = self.spec.channels, self.stage.shape[1]
        pixels = self.stage.shape[0] * wide
        name = f"tl.where(wanted, {bar.k}, 0.0) * {1.0 / channels!r}"
        name, rows = self.let(name, "g"), {}
        for side, row in ((1, "r"), (2, "s")):
            rows[side] = f"channel * {pixels} + {self.row(row, bar.lag)} * {wide}"
        live = self.let(f"stored & {self.row('in', bar.lag)}", "live")
        self._channels()
        for side, other in ((1, 2), (2, 1)):
            x = self.let(f"tl.load(image{other} + {rows[other]})", "x")
            self.accumulate(f"image_bar{side} + {rows[side]}", f"{name} * {x}", live)
        self.depth -= 1
        return bar.lag
