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

    def _pooled_place(self, base: str, number: int, row: str, col: str) -> str:
        """Place of a pooled tile of a pair that begins at ``base``."""
        high, wide = self.stage.pool.shape
        plane = f"({number} * next_rows + {row}) * next_cols + {col}"
        return f"{base} + ({plane}).to(tl.int64) * {high * wide}"

    def _pooled_rows(self, r: str, live: str) -> list[tuple[str, str, str]]:
        """Numbers of the rows of pooled tiles that row r lies under, as variables P,
        number of the tile, condition.

        Where windows do not overlap, a pair of pixels is under one pooled pair only.
        """
        found, covers = [], self._covers(0)
        for o in range(covers):
            rows = []
            for u in range(self.spec.feeds[0]):
                P, hit = self.new("P"), self.new("hit")
                self.put(f"{P}, {hit} = covering({r}, {o}, D{u}, d, {self._axis(0)})")
                self.put(f"{hit} = {hit} & row{u}_fed & {live}")
                rows.append((P, f"row{u}", hit))
            found += rows if covers > 1 else [self._only(rows)]
        return found

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
        r, inside = self.row("r", values[0].lag), self.row("in", values[0].lag)
        for P, row, hit in self._pooled_rows(r, inside):
            self.put(f"if {hit}:")
            self.depth += 1
            self._add_windows(parts, moved, P, row, 0)
            for w in range(1, self.spec.feeds[1]):
                self.put(f"if col{w}_fed:")
                self.depth += 1
                self._add_windows(parts, moved, P, row, w)
                self.depth -= 1
            self.depth -= 1

    def _add_windows(self, parts: list, moved: list, P: str, row: str, w: int) -> None:
        wide = self.stage.pool.shape[1]
        for (v, p, _), lanes in zip(parts, moved, strict=True):
            number = v * self.spec.parts + p
            place = self._pooled_place("target_pair", number, row, f"col{w}")
            place += f" + {P} * {wide} + column"
            place = self.pointers(self.new("place"), place)
            total = f"tl.load({place}, mask=pooled, other=0.0)"
            for o, name in enumerate(lanes):
                total += f" + {name} * counts{w}_{o}"
            self.put(f"tl.store({place}, {total}, mask=pooled)")

    # Backward: every pixel reads the pooled pixels whose windows it lies in.

    def unpool_columns(self) -> None:
        """Pooled columns that every column lies under, as ``_pooled_rows``."""
        found, covers = [], self._covers(1)
        for o in range(covers):
            cols = []
            for w in range(self.spec.feeds[1]):
                over, hit = self.new("over"), self.new("hit")
                self.put(f"{over}, {hit} = covering(j, {o}, E{w}, e, {self._axis(1)})")
                self.put(f"{hit} = {hit} & col{w}_fed")
                cols.append((over, f"col{w}", hit))
            found += cols if covers > 1 else [self._only(cols)]
        self.pooled_cols = found

    def unpool(self) -> list[Value]:
        """Gradients of a row at the exit, from those of the pooled planes."""
        bars = [
            [self.let(self.zeros(), "g"), self.let(self.zeros(), "g") if t else None]
            for t in self.exit_flags
        ]
        wide = self.stage.pool.shape[1]
        for P, row, row_hit in self._pooled_rows("r0", self.seeded):
            for over, col, col_hit in self.pooled_cols:
                mask = f"mask={row_hit} & {col_hit}, other=0.0"
                for v, value in enumerate(bars):
                    for p, name in enumerate(value):
                        if name:
                            number = v * self.spec.parts + p
                            place = self._pooled_place("seed_pair", number, row, col)
                            place += f" + {P} * {wide} + {over}"
                            place = self.pointers(self.new("place"), place)
                            self.put(f"{name} += tl.load({place}, {mask})")
        return [Value(k, t, 0) for k, t in bars]
