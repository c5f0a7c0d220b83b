"""Writes the exit of a stage that pools, in either direction.

A row adds to the pooled rows that it lies under. Within a row every pooled pixel has a
lane, which reads the lanes of its window, so that no place in memory is added to by two
threads. What depends on columns only is worked out once per plane.
"""

from .stage_lines import Value
from .stage_means import Means


class Pools(Means):
    """Windows over rows and over columns, of all pooled planes that a plane feeds."""

    def feeds(self, axis: int, owned: bool) -> None:
        """Number and displacement of the pooled rows, or columns, of a plane."""
        name, big, begin = (("row", "D", "u"), ("col", "E", "w"))[axis]
        for f in range(self.spec.feeds[axis]):
            self.put(f"{name}{f}_fed = {begin}0 + {f} < {begin}1")
            at = f"{name}_feeds + 2 * tl.minimum({begin}0 + {f}, {begin}1 - 1)"
            self.put(f"{name}{f} = tl.load({at})")
            self.put(f"{big}{f} = tl.load({at} + 1)")
            if owned:
                self.put(f"{name}{f}_fed &= ({name}{f} >= first_row)")
                self.put(f"{name}{f}_fed &= ({name}{f} < end_row)")

    def _axis(self, axis: int) -> str:
        """The arguments of ``window_pixel`` and ``covering`` that are constants."""
        pool, exits = self.stage.pool, self.stage.shapes[-1]
        sizes = f"{pool.shape[axis]}, {self.stage.shape[axis]}"
        first = self.regions[-1][axis][0]
        window = f"{pool.window[axis]}, {pool.strides[axis]}, {pool.before[axis]}"
        return f"{sizes}, {first}, {exits[axis]}, {window}, {pool.circular}"

    def _covers(self, axis: int) -> int:
        """Pooled pixels whose windows a pixel may lie in, along an axis."""
        pool = self.stage.pool
        if pool.circular:
            return pool.shape[axis]
        return -(-pool.window[axis] // pool.strides[axis])

    @property
    def _pooled_pixels(self) -> int:
        return self.stage.pool.shape[0] * self.stage.pool.shape[1]

    def _row_of(self, row: str, P: str) -> str:
        """Place of a row of a pooled tile, k of the first value, from column 0 on."""
        wide = self.stage.pool.shape[1]
        pitch = f"(next_cols * {self._pooled_pixels})"
        return self.let(f"{row} * {pitch} + {P} * {wide}", "at")

    def _plane_of(self, value: int, part: int) -> str:
        """How far the planes of a value are from those of k of the first."""
        number = value * self.spec.parts + part
        return f"{number} * (next_rows * next_cols * {self._pooled_pixels})"

    def _pooled_rows(self, r: str, s: str, live: str) -> list[tuple[str, str, str]]:
        """Numbers of the rows of pooled tiles that the pair of rows r and s lies under,
        as variables P, number of the tile, condition."""
        if self._covers(0) == 1 and not self.stage.pool.circular:
            return [self._pooled_row(r, s, live)]
        found = []
        for o in range(self._covers(0)):
            for u in range(self.spec.feeds[0]):
                P, hit = self.new("P"), self.new("hit")
                self.put(f"{P}, {hit} = covering({r}, {o}, D{u}, d, {self._axis(0)})")
                self.put(f"{hit} = {hit} & row{u}_fed & {live}")
                found.append((P, f"row{u}", hit))
        return found

    def _pooled_row(self, r: str, s: str, live: str) -> tuple[str, str, str]:
        """The same where windows do not overlap: a pair is under one pooled pair."""
        high = self.stage.pool.shape[0]
        (P, one), (Q, two) = ((self.new("P"), self.new("inside")) for _ in range(2))
        self._window_over(P, one, r)
        self._window_over(Q, two, s)
        both, found = [x for x in (one, two) if not self._exact(0)], []
        for u in range(self.spec.feeds[0]):
            hit = [f"(partner({P}, D{u}, {high}) == {Q})", f"row{u}_fed", live, *both]
            found.append((P, f"row{u}", self.let(" & ".join(hit), "hit")))
        return self._only(found)

    def _window_over(self, P: str, inside: str, row: str) -> None:
        """The pooled row that a row is under; an exact pool leaves out none."""
        if self._exact(0):
            self.put(f"{P} = {row} // {self.stage.pool.strides[0]}")
        else:
            high, _, *rest, _ = self._axis(0).split(", ")
            self.put(f"{P}, {inside} = over({row}, {', '.join((high, *rest))})")

    def _exact(self, axis: int) -> bool:
        """Whether the windows part the image without a rest."""
        pool, pixels = self.stage.pool, self.stage.shape[axis]
        return (
            pool.window[axis] == pool.strides[axis]
            and pool.before[axis] == 0
            and self.regions[-1][axis] == (0, pixels)
            and pool.shape[axis] * pool.strides[axis] == pixels
        )

    def _only(self, found: list[tuple[str, str, str]]) -> tuple[str, str, str]:
        """The one of several possibilities whose condition holds, if one does."""
        place, number, any_ = found[0]
        for _, other, hit in found[1:]:
            number = self.let(f"tl.where({hit}, {other}, {number})", "number")
            any_ = self.let(f"{any_} | {hit}", "hit")
        return place, number, any_

    # Forward: every pooled pixel reads its window.

    def pool_columns(self) -> None:
        """Lanes of the windows in a row, and which of them count."""
        for w in range(self.spec.feeds[1]):
            for o in range(self.stage.pool.window[1]):
                given = f"column, {o}, E{w}, e, {self._axis(1)}"
                self.put(f"window{o}, counts{w}_{o} = window_pixel({given})")
                counted = f"tl.where(counts{w}_{o} & col{w}_fed, 1.0, 0.0)"
                self.put(f"counts{w}_{o} = {counted}.to({self.spec.type})")
            place = f"target_pair + col{w} * {self._pooled_pixels} + column"
            self.pointers(f"pooled{w}", place)
        for o in range(self.stage.pool.window[1]):
            self.put(f"window{o} = lane - column + window{o} + tall")

    def pool(self, values: list[Value]) -> None:
        """Add a row to all pooled planes that it counts in."""
        parts = [
            (v, p, name)
            for v, value in enumerate(values)
            for p, name in enumerate((value.k, value.t))
            if name
        ]
        moved = [
            [
                self.let(f"tl.gather({name}, window{o}, 1)", "w")
                for o in range(self.stage.pool.window[1])
            ]
            for _, _, name in parts
        ]
        r, s, inside = (self.row(kind, values[0].lag) for kind in ("r", "s", "in"))
        for P, row, hit in self._pooled_rows(r, s, inside):
            self.put(f"if {hit}:")
            self.depth += 1
            at = self._row_of(row, P)
            self._add_windows(parts, moved, at, 0)
            for w in range(1, self.spec.feeds[1]):
                self.put(f"if col{w}_fed:")
                self.depth += 1
                self._add_windows(parts, moved, at, w)
                self.depth -= 1
            self.depth -= 1

    def _add_windows(self, parts: list, moved: list, at: str, w: int) -> None:
        for (v, p, _), lanes in zip(parts, moved, strict=True):
            place = self.let(f"pooled{w} + ({at} + {self._plane_of(v, p)})", "place")
            total = f"tl.load({place}, mask=pooled, other=0.0)"
            for o, name in enumerate(lanes):
                total += f" + {name} * counts{w}_{o}"
            self.put(f"tl.store({place}, {total}, mask=pooled)")

    # Backward: every pixel reads the pooled pixels whose windows it lies in.

    def unpool_columns(self) -> None:
        """Pooled columns that every column lies under, as ``_pooled_rows``."""
        # Where windows do not overlap, a pair is under one pooled pair only.
        found, covers = [], self._covers(1)
        for o in range(covers):
            cols = []
            for w in range(self.spec.feeds[1]):
                over, hit = self.new("over"), self.new("hit")
                self.put(f"{over}, {hit} = covering(j, {o}, E{w}, e, {self._axis(1)})")
                self.put(f"{hit} = {hit} & col{w}_fed")
                cols.append((over, f"col{w}", hit))
            found += cols if covers > 1 else [self._only(cols)]
        self.pooled_cols = []
        for over, col, hit in found:
            place = f"seed_pair + {col} * {self._pooled_pixels} + {over}"
            self.pooled_cols.append((self.pointers(self.new("from"), place), hit))

    def unpool(self) -> list[Value]:
        """Gradients of a row at the exit, from those of the pooled planes."""
        bars = [
            [self.let(self.zeros(), "g"), self.let(self.zeros(), "g") if t else None]
            for t in self.exit_flags
        ]
        for P, row, row_hit in self._pooled_rows("r0", "s0", self.seeded):
            at = self._row_of(row, P)
            for place, col_hit in self.pooled_cols:
                mask = f"mask={row_hit} & {col_hit}, other=0.0"
                for v, value in enumerate(bars):
                    for p, name in enumerate(value):
                        if name:
                            given = f"{place} + ({at} + {self._plane_of(v, p)})"
                            self.put(f"{name} += tl.load({given}, {mask})")
        return [Value(k, t, 0) for k, t in bars]
