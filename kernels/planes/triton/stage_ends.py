"""Writes the entry of a stage and its exit: images, sums and pools."""

from .stage_lines import Lines, Value

# Windows of up to so many pixels are written out.
UNROLLED = 4


class Ends(Lines):
    """Where planes come from and where they go, in either direction."""

    def entry(self) -> list[Value]:
        """The values at the entry of the stage."""
        mask = "" if self.recording else ", mask=wanted, other=0.0"
        if self.recording and not self.tile.exact:
            mask = ", mask=live, other=0.0"
        if self.spec.before is None:
            return [(self._inner_products(mask), None)]
        scale, values = self._entry_scale(), []
        parts = 1 if self.recording else self.spec.parts
        for v, has_t in enumerate(self.spec.flags):
            names: list[str | None] = [None, None]
            for part in range(1 + (has_t and parts == 2)):
                where = f"source1 + {self._entry_place(v, part, parts)}"
                names[part] = self.let(f"tl.load({where}{mask}){scale}", "kt"[part])
            values.append((names[0], names[1]))
        return values

    def _entry_place(self, value: int, part: int, parts: int) -> str:
        """Place of a tile among the planes at the entry."""
        pixels = self.stage.shape[0] * self.stage.shape[1]
        index, plane, count = "pair", "a * n_cols + b", "n_rows * n_cols"
        if self.recording:
            index, plane, count = "n", "0", "1"
        start = f"({index} * {len(self.spec.flags) * parts} + {value * parts + part})"
        return f"({start} * ({count}) + {plane}) * {pixels} + at1"

    def _inner_products(self, mask: str) -> str:
        channels = self.spec.channels
        pixels = self.stage.shape[0] * self.stage.shape[1]
        self.put(f"image1 = source1 + n * {channels * pixels} + at1")
        second = "source1 + n" if self.recording else "source2 + m"
        self.put(f"image2 = {second} * {channels * pixels} + at2")
        size = f"[{self.tile.size[0]}, {self.tile.size[1]}]"
        k = self.let(f"tl.zeros({size}, {self.spec.type})", "k")
        self.loop("channel", channels, channels <= UNROLLED)
        self.put(f"x1 = tl.load(image1 + channel * {pixels}{mask})")
        self.put(f"x2 = tl.load(image2 + channel * {pixels}{mask})")
        self.put(f"{k} += x1 * x2")
        self.depth -= 1
        return self.let(f"{k} * {1.0 / channels!r}", "k")

    def _entry_scale(self) -> str:
        """The factor of pooled planes, written after what it multiplies."""
        pool, exits = self.spec.before, self.spec.before_exit
        if not pool.edges:
            return "" if pool.scale == 1 else f" * {pool.scale**2!r}"
        for axis, pixel in enumerate("ij"):
            window = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}"
            given = f"{window}, {exits[axis]}"
            both = (f"pixels_under({p}, {given})" for p in (pixel, f"{pixel}2"))
            self.put(f"{pixel}_count = {' * '.join(both)}")
        inside = "(i_count[:, None] * j_count[None, :])"
        return f" * {pool.scale**2!r} / {inside}.to({self.spec.type})"

    # The last stage adds up.

    def begin_sums(self) -> None:
        """Sums of float64: of a row in float32, then of all rows."""
        tile = self.tile
        size = [tile.pairs] if tile.split else list(tile.size)
        zero = f"tl.zeros({size}, tl.float64)"
        for part in "kt"[: self.spec.parts]:
            # A scalar float64 is what the sum of a tile is.
            whole = f"tl.sum(tl.sum({zero}, 1), 0)" if tile.single else zero
            self.put(f"total_{part} = {whole}")

    def begin_row(self) -> None:
        size = f"[{self.tile.size[0]}, {self.tile.size[1]}]"
        for part in "kt"[: self.spec.parts]:
            self.put(f"sum_{part} = tl.zeros({size}, {self.spec.type})")

    def sum_up(self, values: list[Value]) -> None:
        counted = self._counted()
        for part, name in zip("kt", values[-1], strict=True):
            if name:
                self.put(f"sum_{part} += tl.where({counted}, {name}, 0.0)")

    def _counted(self) -> str:
        """The entries that the readout adds up."""
        inside = self.inside(self.regions[-1])
        return f"wanted & {inside}" if inside else "wanted"

    def end_row(self) -> None:
        tile = self.tile
        pixels = tile.shape[0] * tile.shape[1]
        for part in "kt"[: self.spec.parts]:
            whole = f"sum_{part}.to(tl.float64)"
            if tile.single:
                whole = f"tl.sum(tl.sum({whole}, 1), 0)"
            elif tile.split:
                whole = f"tl.sum(tl.reshape({whole}, [{tile.pairs}, {pixels}]), 1)"
            self.put(f"total_{part} += {whole}")

    def store_sums(self) -> None:
        tile, parts = self.tile, self.spec.parts
        if tile.split:
            self.put(f"pair = tl.program_id(0).to(tl.int64) * {tile.pairs}")
            self.put(f"pair = pair + tl.arange(0, {tile.pairs})")
        for p, part in enumerate("kt"[:parts]):
            place = f"target + (pair * n_blocks + block) * {parts} + {p}"
            if tile.single:
                self.put(f"tl.store({place}, total_{part})")
            elif tile.split:
                self.put(f"tl.store({place}, total_{part}, mask=pair < pairs)")
            else:
                self._store_one_by_one(f"total_{part}", p)

    def _store_one_by_one(self, totals: str, p: int) -> None:
        """Add up the entries of every pair of a tile that cannot be split evenly."""
        pairs, parts = self.tile.pairs, self.spec.parts
        self.loop("g", pairs, False)
        self.put(f"here = tl.program_id(0).to(tl.int64) * {pairs} + g")
        self.put(f"total = tl.sum(tl.sum(tl.where(pair == here, {totals}, 0.0), 1), 0)")
        place = f"target + (here * n_blocks + block) * {parts} + {p}"
        self.put(f"tl.store({place}, total, mask=here < pairs)")
        self.depth -= 1

    def seed(self, values: list[Value]) -> list[Value]:
        """Gradients at the exit, the same at every entry of a pair."""
        mask = "" if self.tile.single else ", mask=live, other=0.0"
        counted, bars = self._counted(), []
        for p, name in enumerate(values[-1]):
            given = f"tl.load(seed + pair * {self.spec.parts} + {p}{mask})"
            bars.append(name and self.let(f"tl.where({counted}, {given}, 0.0)", "g"))
        return [(bars[0], bars[1])]

    # Other stages pool.

    def pooled_pixels(self) -> None:
        """Which pooled pixel and which pair every entry of a pooled tile is, and the
        pooled rows that this block owns."""
        (high, wide), tile = self.stage.pool.shape, self.spec.pooled
        self.put("low = tl.load(blocks + 4 * block + 2)")
        self.put("high = tl.load(blocks + 4 * block + 3)")
        self.put(f"I, J = tl.arange(0, {tile.size[0]}), tl.arange(0, {tile.size[1]})")
        self.put(f"I_group, J_live = I // {high}, J < {wide}")
        self.put(f"live_pooled = (I_group < {tile.pairs})[:, None] & J_live[None, :]")
        self.put("pair_pooled = pair")
        if not tile.single:
            self.put(f"pair_pooled = tl.program_id(0).to(tl.int64) * {tile.pairs}")
            self.put("pair_pooled = pair_pooled + I_group[:, None]")
            self.put("live_pooled = live_pooled & (pair_pooled < pairs)")
        self.put(f"I = I % {high}")

    def pool(self, values: list[Value]) -> None:
        """Add the windows of a tile to all pooled tiles that it feeds."""
        parts = [
            (v, p, name)
            for v, value in enumerate(values)
            for p, name in enumerate(value)
            if name
        ]
        first = self.spec.buffers - len(values) * self.spec.parts
        places = [self.buffer(first + v * self.spec.parts + p) for v, p, _ in parts]
        for place, (_, _, name) in zip(places, parts, strict=True):
            self.put(f"tl.store({place} + spot, {name})")
        self.put("tl.debug_barrier()")
        self._feeds(0)
        self.put("if (row >= low) & (row < high):")
        self.depth += 1
        self._feeds(1)
        sums = self._windows(places)
        at = f"(I * {self.stage.pool.shape[1]})[:, None] + J[None, :]"
        for (v, p, _), total in zip(parts, sums, strict=True):
            place = self.let(
                f"target + {self._pooled_place('pair_pooled', v, p)} + {at}"
            )
            old = f"tl.load({place}, mask=live_pooled, other=0.0)"
            self.put(f"tl.store({place}, {old} + {total}, mask=live_pooled)")
        self.depth -= 3

    def _feeds(self, axis: int) -> None:
        """Begin the loop over the pooled rows or columns that the tile adds to."""
        name, low, big = ("row", "u", "D") if axis == 0 else ("col", "w", "E")
        self.put(f"for {low} in range({low}0, {low}1):")
        self.depth += 1
        self.put(f"{name} = tl.load({name}_feeds + 2 * {low})")
        self.put(f"{big} = tl.load({name}_feeds + 2 * {low} + 1)")

    def _axis(self, axis: int) -> str:
        """The arguments of ``window_pixel`` and ``covering`` that are constants."""
        pool, exits = self.stage.pool, self.stage.shapes[-1]
        sizes = f"{pool.shape[axis]}, {self.stage.shape[axis]}"
        first = self.regions[-1][axis][0]
        window = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}"
        return f"{sizes}, {first}, {exits[axis]}, {window}, {pool.circular}"

    def _windows(self, places: list[str]) -> list[str]:
        """The sums over the windows of a pooled tile, of every buffer."""
        pool, high = self.stage.pool, self.stage.shape[0]
        size = f"[{self.spec.pooled.size[0]}, {self.spec.pooled.size[1]}]"
        sums = [self.let(f"tl.zeros({size}, {self.spec.type})", "y") for _ in places]
        unrolled = pool.window[0] * pool.window[1] <= UNROLLED
        self.loop("o", pool.window[0], unrolled)
        self.put(f"q, q_inside = window_pixel(I, o, D, d, {self._axis(0)})")
        self.put(f"line = (I_group * {high} + q) * {self.tile.size[1]}")
        self.loop("l", pool.window[1], unrolled)
        self.put(f"s, s_inside = window_pixel(J, l, E, e, {self._axis(1)})")
        self.put("there = line[:, None] + s[None, :]")
        self.put("counts = q_inside[:, None] & s_inside[None, :] & live_pooled")
        for total, place in zip(sums, places, strict=True):
            self.put(f"{total} += tl.load({place} + there, mask=counts, other=0.0)")
        self.depth -= 2
        return sums

    def _pooled_place(self, pair: str, value: int, part: int) -> str:
        """Place of a pooled tile."""
        high, wide = self.stage.pool.shape
        parts, count = self.spec.parts, self.stage.depths[-1] + 1
        start = f"({pair} * {count * parts} + {value * parts + part})"
        plane = "row * next_cols + col"
        return f"({start} * (next_rows * next_cols) + {plane}) * {high * wide}"

    def unpool(self, values: list[Value]) -> list[Value]:
        """Gradients at the exit, from those of the pooled tiles that a tile feeds."""
        pool = self.stage.pool
        size = f"[{self.tile.size[0]}, {self.tile.size[1]}]"
        bars = [
            [x and self.let(f"tl.zeros({size}, {self.spec.type})", "g") for x in value]
            for value in values
        ]
        counts = [
            m if pool.circular else -(-w // s)
            for m, w, s in zip(pool.shape, pool.window, pool.strides, strict=True)
        ]
        unrolled = counts[0] * counts[1] <= UNROLLED
        self._feeds(0)
        self._feeds(1)
        self.loop("o", counts[0], unrolled)
        self.put(f"P, P_inside = covering(i, o, D, d, {self._axis(0)})")
        self.loop("l", counts[1], unrolled)
        self.put(f"Q, Q_inside = covering(j, l, E, e, {self._axis(1)})")
        live = "" if self.tile.exact else " & live"
        self.put(f"counts = P_inside[:, None] & Q_inside[None, :]{live}")
        self.put(f"over = (P * {pool.shape[1]})[:, None] + Q[None, :]")
        for v, value in enumerate(bars):
            for p, name in enumerate(value):
                if name:
                    place = f"seed + {self._pooled_place('pair', v, p)} + over"
                    self.put(f"{name} += tl.load({place}, mask=counts, other=0.0)")
        self.depth -= 4
        return [(k, t) for k, t in bars]

    def entry_bar(self, bars: list[Value]) -> None:
        """Hand the gradient at the entry of a tile to images or to pooled planes."""
        if self.spec.before is None:
            self._image_bar(bars[0][0])
            return
        scale, parts = self._entry_scale(), self.spec.parts
        for v, value in enumerate(bars):
            for p, name in enumerate(value):
                if name:
                    kept = self.let(f"tl.where(wanted, {name}, 0.0){scale}", "g")
                    place = f"bar1 + {self._entry_place(v, p, parts)}"
                    self.put(f"tl.store({place}, {kept}{self.stored})")

    def _image_bar(self, bar: str) -> None:
        channels = self.spec.channels
        pixels = self.stage.shape[0] * self.stage.shape[1]
        bar = self.let(f"tl.where(wanted, {bar}, 0.0) * {1.0 / channels!r}", "g")
        self.put(f"slot = (pair * n_blocks + block) * {channels * pixels}")
        self.loop("channel", channels, channels <= UNROLLED)
        for side, other in ((1, 2), (2, 1)):
            image = f"image{other} + channel * {pixels}"
            x = self.let(f"tl.load({image}, mask=wanted, other=0.0)", "x")
            where = f"bar{side} + slot + channel * {pixels} + at{side}"
            self.accumulate(where, f"{bar} * {x}")
        self.depth -= 1
