"""Writes the means over pixels of a layer normalisation, for the variances of an image.

The mean over the rows of an image is known when its last row has been seen: then the
image is run once more.
"""

from ..program import Normalize
from .stage_lines import Value
from .stage_operations import Operations


class Means(Operations):
    """The frame of ``record``; ``found`` has the means of earlier runs by operation."""

    def record(self) -> None:
        """Write the variances of the images, one run for every mean over rows."""
        self.found: dict[int, str] = {}
        for n, op in enumerate(self.stage.ops):
            if isinstance(op, Normalize) and op.spatial[0]:
                self.found[n] = self._mean_of_rows(n)
        lead = self.lead()
        self.rows(lambda: max(v.lag for v in self.forward_ops(self.entry())), lead)

    def _mean_of_rows(self, n: int) -> str:
        (top, bottom), _ = self.regions[n]
        total = self.let(self.zeros(), "total")

        def body() -> int:
            value = self.forward_ops(self.entry(), n)[-1]
            seen = [self.row("in", value.lag), *self._rows_inside(n, value.lag)]
            self.put(f"{total} += {self.masked(value.k, seen)}")
            return value.lag

        self.rows(body, self.lead())
        mean = self.let(f"{total} * {1.0 / (bottom - top)!r}", "mean")
        return self._mean_of_columns(n, mean) if self.stage.ops[n].spatial[1] else mean

    def _rows_inside(self, n: int, lag: int) -> list[str]:
        rows, _ = self.regions[n]
        return self.inside((rows, (0, self.stage.shape[1])), lag)

    def _mean_of_columns(self, n: int, name: str) -> str:
        """The mean over the pixels of a row, in all lanes of a group."""
        _, (left, right) = self.regions[n]
        lanes = self.lanes
        shape = f"{lanes.lines}, {lanes.groups}, {lanes.group}"
        inside = self.let(
            f"tl.where((column >= {left}) & (column < {right}), {name}, 0.0)"
        )
        total = self.let(f"sum_of_groups({inside}, {shape}) * {1.0 / (right - left)!r}")
        wide = f"tl.broadcast_to({total}[:, :, None], [{shape}])"
        return self.let(f"tl.reshape({wide}, {lanes.size})", "mean")

    def mean(self, n: int, value: Value) -> str:
        """The variance of operation n, a ``Normalize``, averaged as it asks for."""
        op = self.stage.ops[n]
        if op.spatial[0]:
            return self.found[n]
        return self._mean_of_columns(n, value.k) if op.spatial[1] else value.k
