"""Writes the operations of a stage, and their derivatives."""

from ..encode_activation import dual_of
from ..program import Activate, Add, Affine, Box, Normalize, Op, Push, Swap
from .stage_lines import Lines, Value
from .stage_source import BUFFERS, is_mapped, map_pixels

_PARTIALS = "value slope to_c slope_c to_p to_q slope_p slope_q".split()


class Operations(Lines):
    """Operations on the current value and on the stack."""

    def forward_ops(self, values: list[Value]) -> tuple[list[Value], list[Value]]:
        """The values at the exit, and what every operation was given."""
        history = []
        for n, op in enumerate(self.stage.ops):
            history.append(values[-1])
            if isinstance(op, Push):
                values = [*values, values[-1]]
            elif isinstance(op, Swap):
                values = [*values[:-2], values[-1], values[-2]]
            elif isinstance(op, Add):
                values = [*values[:-2], self._add(values[-2], values[-1])]
            else:
                if self.kernel == "backward" and self.spec.saves and is_mapped(op):
                    self._save(n, values[-1])
                values = [*values[:-1], self._apply(op, n, values[-1])]
        return values, history

    def backward_ops(self, bars: list[Value], history: list[Value]) -> list[Value]:
        """Gradients at the entry of the stage, from those at its exit."""
        if self.spec.saves:
            self.put("tl.debug_barrier()")
        for n in range(len(self.stage.ops) - 1, -1, -1):
            op, given = self.stage.ops[n], history[n]
            if isinstance(op, Add):
                bars = [*bars, bars[-1]]
            elif isinstance(op, Swap):
                bars = [*bars[:-2], bars[-1], bars[-2]]
            elif isinstance(op, Push):
                bars = [*bars[:-2], self._add(bars[-2], bars[-1])]
            else:
                bars = [*bars[:-1], self._pull(op, n, given, bars[-1])]
        return bars

    def _save(self, n: int, value: Value) -> None:
        """Keep what operation n is given in memory."""
        for name, place in zip(value, self._saved(n), strict=True):
            if name:
                self.put(f"tl.store({place} + spot, {name})")

    def _restored(self, n: int, value: Value) -> Value:
        """What operation n was given, from memory."""
        k, t = (
            name and self.let(f"tl.load({place} + spot)", name[0])
            for name, place in zip(value, self._saved(n), strict=True)
        )
        return k, t

    def _saved(self, n: int) -> list[str]:
        first = BUFFERS + self.spec.parts * self._mapped(n)
        return [self.buffer(first), self.buffer(first + self.spec.parts - 1)]

    def _add(self, one: Value, two: Value) -> Value:
        k = self.let(f"{one[0]} + {two[0]}", "k")
        if one[1] and two[1]:
            return k, self.let(f"{one[1]} + {two[1]}", "t")
        return k, one[1] or two[1]

    def _apply(self, op: Op, n: int, value: Value) -> Value:
        if isinstance(op, Box):
            return self._box(op, n, value)
        if isinstance(op, Affine):
            return self._affine(op, value)
        k, t = value
        p, q = self._variances(op, n, k)
        if isinstance(op, Normalize):
            factor = self._factor(op, p, q)[2]
            return self._times(value, factor)
        given = self._dual_arguments(op, n, k, p, q)
        new, slope = self.new("k"), self.new("slope")
        self.put(f"{new}, {slope} = value({given})")
        return new, t and self.let(f"{t} * {slope}", "t")

    def _times(self, value: Value, factor: str) -> Value:
        k, t = value
        return self.let(f"{k} * {factor}", "k"), t and self.let(f"{t} * {factor}", "t")

    def _pull(self, op: Op, n: int, given: Value, bar: Value) -> Value:
        k, t = given
        gk, gt = bar[0], bar[1] if t else None
        if isinstance(op, Box):
            return self._box(op, n, (gk, gt), adjoint=True)
        if isinstance(op, Affine):
            # t may begin here: then its gradient reaches k and goes no further.
            new = f"{gk} * {op.w!r}"
            if bar[1] and op.u:
                new = f"{bar[1]} * {op.u!r} + {new}"
            return self.let(new, "g"), gt and self.let(f"{gt} * {op.w!r}", "g")
        if self.spec.saves:
            k, t = self._restored(n, given)
        p, q = self._variances(op, n, k)
        gain = gt and self.let(f"{gt} * {t}")
        if isinstance(op, Normalize):
            r1, r2, factor = self._factor(op, p, q)
            both = f"{gk} * {k} + {gain}" if gain else f"{gk} * {k}"
            # The derivative of v^(-1/2) is -1/2 v^(-3/2).
            both = self.let(f"({both}) * {factor} * -0.5")
            self._variance_bars(n, f"{both} * {r1} * {r1}", f"{both} * {r2} * {r2}")
            return self._times((gk, gt), factor)
        arguments = self._dual_arguments(op, n, k, p, q)
        names = [self.new(name) for name in _PARTIALS]
        self.put(f"{', '.join(names)} = partials({arguments})")
        _, slope, *rest = names
        to_c, slope_c, to_p, to_q, slope_p, slope_q = rest
        along = [f"{gk} * {to_c}", f"{gk} * {to_p}", f"{gk} * {to_q}"]
        if gain:
            slopes = (slope_c, slope_p, slope_q)
            along = [f"{a} + {gain} * {s}" for a, s in zip(along, slopes, strict=True)]
        self._variance_bars(n, along[1], along[2])
        return self.let(along[0], "g"), gt and self.let(f"{gt} * {slope}", "g")

    # Boxes go through buffers.

    def _box(self, op: Box, n: int, value: Value, adjoint: bool = False) -> Value:
        # Pixels that an unpadded convolution left off count as zero from then on.
        inside = self.inside(self.regions[n]) if op.padding == "SAME" else ""
        if inside and not adjoint:
            value = self._masked(value, inside)
        for axis in (0, 1):
            low, high = -op.before[axis], op.after[axis]
            if adjoint:
                low, high = -high, -low
            if (low, high) != (0, 0):
                value = self._pass(value, axis, range(low, high + 1), op.padding)
        return self._masked(value, inside) if inside and adjoint else value

    def _masked(self, value: Value, inside: str) -> Value:
        k, t = (
            x and self.let(f"tl.where({inside}, {x}, 0.0)", name)
            for x, name in zip(value, "kt", strict=True)
        )
        return k, t

    def _pass(self, value: Value, axis: int, offsets: range, padding: str) -> Value:
        """Sums over neighbours along one axis.

        Buffers are written in turns, so that one barrier lies between a write and the
        reads, and another one before the next write.
        """
        places = self._written(value)
        sums: list[str | None] = []
        for name, place in zip(value, places, strict=True):
            terms = []
            for o in offsets if name else ():
                step, inside = self.neighbour(axis, o, padding == "CIRCULAR")
                expand = "[None, :]" if axis else "[:, None]"
                pitch = "" if axis else f" * {self.tile.size[1]}"
                where = f"{place} + spot + ({step}{pitch}){expand}"
                mask = f"mask={inside}{expand}, other=0.0"
                terms.append(f"tl.load({where}, {mask})" if o else name)
            sums.append(self.let(" + ".join(terms), "b") if name else None)
        return sums[0], sums[1]

    def _written(self, value: Value) -> list[str]:
        """Store k and t in the next two buffers; where these begin."""
        first = 2 * (self.passes % 2)
        self.passes += 1
        places = [self.buffer(first), self.buffer(first + 1)]
        for name, place in zip(value, places, strict=True):
            if name:
                self.put(f"tl.store({place} + spot, {name})")
        self.put("tl.debug_barrier()")
        return places

    def _affine(self, op: Affine, value: Value) -> Value:
        k, t = value
        new = self.let(f"{k} * {op.w!r} + {op.b!r}", "k")
        if not self.spec.want_t or self.recording:
            return new, None
        if t:
            t = self.let(f"{t} * {op.w!r} + ({k} * {op.u!r} + {op.v!r})", "t")
        elif op.u or op.v:
            t = self.let(f"{k} * {op.u!r} + {op.v!r}", "t")
        return new, t

    # What depends on the variances of both pixels.

    def _dual_arguments(self, op: Activate, n: int, k: str, p: str, q: str) -> str:
        """The arguments of ``duals.value`` and of ``duals.partials``."""
        family = int(dual_of(op.activation).family)
        number = sum(isinstance(before, Activate) for before in self.stage.ops[:n])
        given = f"{family}, PAR, {number}"
        M = self.let(f"dual_maps({p}, {given})", "M")
        N = M if p == q else self.let(f"dual_maps({q}, {given})", "N")
        return f"{k}, determinant({p}, {q}, {k}), {M}, {N}, {given}"

    def _factor(self, op: Normalize, p: str, q: str) -> tuple[str, str, str]:
        """The inverse standard deviations of both pixels, and their product."""
        r1, r2 = (self.let(f"inverse_root({v} + {op.eps!r})", "r") for v in (p, q))
        return r1, r2, self.let(f"{r1} * {r2}")

    def _map_offset(self, n: int) -> int:
        """Place of the variances of operation n among those of the stage."""
        return map_pixels(self.stage) // max(self._mapped(None), 1) * self._mapped(n)

    def _mapped(self, n: int | None) -> int:
        return sum(map(is_mapped, self.stage.ops[:n]))

    def _variances(self, op: Op, n: int, k: str) -> tuple[str, str]:
        offset = self.spec.maps + self._map_offset(n)
        if not self.recording:
            # Entries that are left over have variance 1, so that nothing overflows.
            loaded = self.loaded.replace("0.0", "1.0")
            first = f"tl.load(maps1 + n * map_size + {offset} + at1{loaded})"
            second = f"tl.load(maps2 + m * map_size + {offset} + at2{loaded})"
            return self.let(first, "p"), self.let(second, "q")
        p = k
        if isinstance(op, Normalize):
            for axis in (0, 1):
                if op.spatial[axis]:
                    p = self._mean(p, axis, self.regions[n][axis])
        if not self.tile.exact:
            p = self.let(f"tl.where(live, {p}, 1.0)", "p")
        place = f"maps1 + n * map_size + {offset} + at1"
        self.put(f"tl.store({place}, {p}{self.stored})")
        return p, p

    def _mean(self, name: str, axis: int, pixels: tuple[int, int]) -> str:
        """The mean over pixels along one axis of the same image."""
        place = self._written((name, None))[0]
        index, size, cols = "rc"[axis], self.stage.shape[axis], self.tile.size[1]
        start = f"({index} // {size} * {size} + o)"
        expand = "[None, :]" if axis else "[:, None]"
        other = f"(r * {cols})[:, None]" if axis else "c[None, :]"
        pitch = "" if axis else f" * {cols}"
        live = "" if self.tile.full(axis) else f", mask={'ij'[axis]}_live{expand}"
        live += ", other=0.0" if live else ""
        total = self.let(f"{name} * 0.0", "mean")
        self.put(f"for o in range({pixels[0]}, {pixels[1]}):")
        where = f"{place} + ({start}{pitch}){expand} + {other}"
        self.put(f"    {total} += tl.load({where}{live})")
        return self.let(f"{total} * {1.0 / (pixels[1] - pixels[0])!r}", "p")

    def _variance_bars(self, n: int, along1: str, along2: str) -> None:
        size, offset = map_pixels(self.stage), self._map_offset(n)
        for side, along in ((1, along1), (2, along2)):
            slot = f"(pair * n_blocks + block) * {size} + {offset} + at{side}"
            self.accumulate(f"map_bar{side} + {slot}", along)
