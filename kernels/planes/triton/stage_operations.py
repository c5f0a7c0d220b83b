"""Writes the operations of a stage, and their derivatives."""

from ..encode_activation import dual_of
from ..program import Activate, Add, Affine, Box, Normalize, Op, Push, Swap
from .stage_lines import Lines, Value
from .stage_source import is_mapped, map_pixels

_PARTIALS = "value slope to_c slope_c to_p to_q slope_p slope_q".split()


class Operations(Lines):
    """Operations on one row of the current value and of those on the stack."""

    def forward_ops(self, values: list[Value], end: int | None = None) -> list[Value]:
        """The values after the operations before number ``end``."""
        for n, op in enumerate(self.stage.ops[:end]):
            if isinstance(op, Push):
                values = [*values, values[-1]]
            elif isinstance(op, Swap):
                values = [*values[:-2], values[-1], values[-2]]
            elif isinstance(op, Add):
                values = [*values[:-2], self._add(values[-2], values[-1])]
            else:
                if self.kernel == "backward" and is_mapped(op):
                    self._keep(n, values[-1])
                values = [*values[:-1], self._apply(op, n, values[-1])]
        return values

    def backward_ops(self, bars: list[Value]) -> list[Value]:
        """Gradients at the entry of the stage, from those at its exit."""
        for n in range(len(self.stage.ops) - 1, -1, -1):
            op, given = self.stage.ops[n], self.given[n]
            if isinstance(op, Add):
                bars = [*bars, bars[-1]]
            elif isinstance(op, Swap):
                bars = [*bars[:-2], bars[-1], bars[-2]]
            elif isinstance(op, Push):
                bars = [*bars[:-2], self._add(bars[-2], bars[-1])]
            else:
                bars = [*bars[:-1], self._pull(op, n, given, bars[-1])]
        return bars

    def aligned(self, values: list[Value]) -> list[Value]:
        """The same rows of all values: the slowest of them is waited for."""
        lag = max(value.lag for value in values)
        return [
            value.map(lambda x, late=lag - value.lag: self.before(x, late), lag)
            for value in values
        ]

    def _add(self, one: Value, two: Value) -> Value:
        one, two = self.aligned([one, two])
        k = self.let(f"{one.k} + {two.k}", "k")
        t = self.let(f"{one.t} + {two.t}", "t") if one.t and two.t else one.t or two.t
        return Value(k, t, one.lag)

    def _apply(self, op: Op, n: int, value: Value) -> Value:
        if isinstance(op, Box):
            return self._box(op, n, value)
        if isinstance(op, Affine):
            return self._affine(op, value)
        p, q = self._variances(op, n, value)
        if isinstance(op, Normalize):
            factor = self._factor(op, p, q)[2]
            return self._times(value, factor)
        given = self._dual_arguments(op, n, value.k, p, q)
        new, slope = self.new("k"), self.new("slope")
        self.put(f"{new}, {slope} = value({given})")
        t = value.t and self.let(f"{value.t} * {slope}", "t")
        return Value(new, t, value.lag)

    def _times(self, value: Value, factor: str) -> Value:
        return value.map(lambda x: self.let(f"{x} * {factor}"))

    def _affine(self, op: Affine, value: Value) -> Value:
        k, t = value.k, value.t
        new = self.let(f"{k} * {op.w!r} + {op.b!r}", "k")
        if not self.spec.want_t or self.recording:
            return Value(new, None, value.lag)
        if t:
            t = self.let(f"{t} * {op.w!r} + ({k} * {op.u!r} + {op.v!r})", "t")
        elif op.u or op.v:
            t = self.let(f"{k} * {op.u!r} + {op.v!r}", "t")
        return Value(new, t, value.lag)

    def _pull(self, op: Op, n: int, has_t: bool, bar: Value) -> Value:
        gk, gt, lag = bar.k, bar.t if has_t else None, bar.lag
        if isinstance(op, Box):
            return self._box(op, n, Value(gk, gt, lag), adjoint=True)
        if isinstance(op, Affine):
            # t may begin here: then its gradient reaches k and goes no further.
            new = f"{gk} * {op.w!r}"
            if bar.t and op.u:
                new = f"{bar.t} * {op.u!r} + {new}"
            gt = gt and self.let(f"{gt} * {op.w!r}", "g")
            return Value(self.let(new, "g"), gt, lag)
        value = self._kept(n, has_t, lag)
        k = value.k
        p, q = self._variances(op, n, value)
        gain = gt and self.let(f"{gt} * {value.t}")
        if isinstance(op, Normalize):
            r1, r2, factor = self._factor(op, p, q)
            both = f"{gk} * {k} + {gain}" if gain else f"{gk} * {k}"
            # The derivative of v^(-1/2) is -1/2 v^(-3/2).
            both = self.let(f"({both}) * {factor} * -0.5")
            alongs = (f"{both} * {r1} * {r1}", f"{both} * {r2} * {r2}")
            self._variance_bars(n, lag, *alongs)
            return self._times(Value(gk, gt, lag), factor)
        arguments = self._dual_arguments(op, n, k, p, q)
        names = [self.new(name) for name in _PARTIALS]
        self.put(f"{', '.join(names)} = partials({arguments})")
        _, slope, *rest = names
        to_c, slope_c, to_p, to_q, slope_p, slope_q = rest
        along = [f"{gk} * {to_c}", f"{gk} * {to_p}", f"{gk} * {to_q}"]
        if gain:
            slopes = (slope_c, slope_p, slope_q)
            along = [f"{a} + {gain} * {s}" for a, s in zip(along, slopes, strict=True)]
        self._variance_bars(n, lag, along[1], along[2])
        gt = gt and self.let(f"{gt} * {slope}", "g")
        return Value(self.let(along[0], "g"), gt, lag)

    # Boxes add up neighbours: within a row from other lanes, then rows.

    def _box(self, op: Box, n: int, value: Value, adjoint: bool = False) -> Value:
        # Pixels that an unpadded convolution left off count as zero from then on.
        same = op.padding == "SAME"
        if same and not adjoint:
            value = self._within(value, n)
        spans = [(op.before[axis], op.after[axis]) for axis in (0, 1)]
        if adjoint:
            spans = [span[::-1] for span in spans]
        value = value.map(lambda x: self._columns(x, *spans[1]))
        lag = value.lag + spans[0][1]
        value = value.map(lambda x: self._rows(x, value.lag, *spans[0]), lag)
        return self._within(value, n) if same and adjoint else value

    def _within(self, value: Value, n: int) -> Value:
        conditions = self.inside(self.regions[n], value.lag)
        return value.map(lambda x: self.masked(x, conditions))

    def _columns(self, name: str, before: int, after: int) -> str:
        """The sum over neighbours in a row."""
        terms = []
        for o in range(-before, after + 1):
            lane, near = self.neighbour_lane(o)
            moved = f"tl.gather({name}, {lane}, 1)"
            terms.append(
                (moved if near is None else f"{moved} * {near}") if o else name
            )
        return self.let(" + ".join(terms), "b") if len(terms) > 1 else name

    def _rows(self, name: str, lag: int, before: int, after: int) -> str:
        """The sum over ``before`` rows and ``after`` rows; ``lag`` is that of the
        newest, ``name``, and the result is ``after`` rows behind it.

        Rows further off go through those between: where the plane ends in between they
        are left out with them.
        """
        earlier = [name]
        for _ in range(max(before, after - 1)):
            earlier.append(self.before(earlier[-1], 1))
        upper = earlier[before]
        for back in range(before - 1, -1, -1):
            upper = f"{self.link(upper, lag + back)} + {earlier[back]}"
        upper = self.let(upper, "b") if before else name
        if not after:
            return upper
        lower = earlier[0]
        for back in range(1, after):
            lower = f"{earlier[back]} + {self.link(lower, lag + back - 1)}"
        lower = self.link(lower, lag + after - 1)
        return self.let(f"{self.before(upper, after)} + {lower}", "b")

    # What the way back needs of the way forward.

    def _keep(self, n: int, value: Value) -> None:
        """Keep what operation n is given in memory."""
        live = f"mask={self.row('in', value.lag)}"
        places = self._places(n, value.lag)
        for place, name in zip(places, (value.k, value.t), strict=True):
            if name:
                self.put(f"tl.store({place}, {name}, {live})")

    def _kept(self, n: int, has_t: bool, lag: int) -> Value:
        """What operation n was given."""
        places = self._places(n, lag)
        k = self.let(f"tl.load({places[0]})", "k")
        return Value(k, self.let(f"tl.load({places[1]})", "t") if has_t else None, lag)

    def _places(self, n: int, lag: int) -> list[str]:
        parts, entries = self.spec.parts, self.lanes.lines * self.lanes.width
        rows = self.stage.shape[0]
        first = self._mapped(n) * parts
        return [
            f"work + ({(first + part) * rows} + {self.row('r', lag)}) * {entries}"
            for part in (0, parts - 1)
        ]

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
        r1, r2 = (self.let(f"inverse_std({v} + {op.eps!r})", "r") for v in (p, q))
        return r1, r2, self.let(f"{r1} * {r2}")

    def map_offset(self, n: int) -> int:
        """Place of the variances of operation n among those of the stage."""
        return map_pixels(self.stage) // max(self._mapped(None), 1) * self._mapped(n)

    def _mapped(self, n: int | None) -> int:
        return sum(map(is_mapped, self.stage.ops[:n]))

    def _variances(self, op: Op, n: int, value: Value) -> tuple[str, str]:
        offset, wide = self.spec.maps + self.map_offset(n), self.stage.shape[1]
        r, s = self.row("r", value.lag), self.row("s", value.lag)
        if not self.recording:
            p = self.let(f"tl.load(map1 + {offset} + {r} * {wide})", "p")
            return p, self.let(f"tl.load(map2 + {offset} + {s} * {wide})", "q")
        p = self.mean(n, value) if isinstance(op, Normalize) else value.k
        stored = f"stored & {self.row('in', value.lag)}"
        self.put(f"tl.store(map1 + {offset} + {r} * {wide}, {p}, mask={stored})")
        return p, p

    def _variance_bars(self, n: int, lag: int, along1: str, along2: str) -> None:
        offset, wide = self.map_offset(n), self.stage.shape[1]
        live = f"stored & {self.row('in', lag)}"
        for side, row, along in ((1, "r", along1), (2, "s", along2)):
            place = f"map_bar_{side} + {offset} + {self.row(row, lag)} * {wide}"
            self.accumulate(place, along, live)
