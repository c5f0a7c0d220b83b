"""Which displacements the tiles of every stage have, and where they are pooled to.

Planes d and d - N lie in one tile, so that displacements count modulo the pixels of an
axis; flags say which of both planes are needed.
"""

from dataclasses import dataclass

import numpy as np

from ..cone import Need, cone, pool_groups
from ..program import Program, Stage


@dataclass(frozen=True)
class Axis:
    """Displacements along one axis of a stage.

    Args:
        tiles: ``[n, 4]``: d, flags (1: plane d is needed, 2: plane d - N), and the
            begin and end of its entries in ``feeds``.
        feeds: ``[entries, 2]``: number and d of a tile of the next stage.
    """

    tiles: np.ndarray
    feeds: np.ndarray

    def __len__(self) -> int:
        return len(self.tiles)

    def targets(self, row: int) -> np.ndarray:
        """The tiles of the next stage that tile ``row`` adds to."""
        begin, end = self.tiles[row, 2:]
        return self.feeds[begin:end, 0]


def stage_axes(program: Program) -> list[tuple[Axis, Axis]]:
    """Both axes of every stage, as the cone of need demands."""
    needs = cone(program)
    axes = []
    for s, (stage, need) in enumerate(zip(program.stages, needs, strict=True)):
        after = program.stages[s + 1] if stage.pool else None
        wanted = needs[s + 1] if stage.pool else None
        axes.append(tuple(_axis(stage, need, after, wanted, a) for a in (0, 1)))
    return axes


def _axis(
    stage: Stage, need: Need, after: Stage | None, wanted: Need | None, axis: int
) -> Axis:
    size = stage.shape[axis]
    have = (need.rows, need.cols)[axis]
    flags: dict[int, int] = {}
    targets: dict[int, set[int]] = {}
    if after:
        want = (wanted.rows, wanted.cols)[axis]
        packed = sorted({d % after.shape[axis] for d in want})
        groups = pool_groups(stage, after, axis, have, want)
    for n, d in enumerate(have):
        tile = d % size
        flags[tile] = flags.get(tile, 0) | (3 if stage.torus else (1 if d >= 0 else 2))
        if after:
            found = {want[k] % after.shape[axis] for k, *_ in groups[n]}
            targets.setdefault(tile, set()).update(found)
    tiles, feeds = [], []
    for d in sorted(flags):
        begin = len(feeds)
        if after:
            feeds += [(packed.index(D), D) for D in sorted(targets[d])]
        tiles.append((d, flags[d], begin, len(feeds)))
    return Axis(_table(tiles, 4), _table(feeds, 2))


def _table(entries: list, width: int) -> np.ndarray:
    """At least one line, as there is no pointer to an empty table."""
    return np.array(entries or [(0,) * width], np.int32)


def row_blocks(
    rows: Axis, next_rows: int | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of tiles in blocks that run side by side and write to different places.

    Before a pool a block owns some pooled rows and runs every row that adds to them, so
    that a row at the edge of two blocks is run twice; else it has rows of its own.

    Returns:
        order: the rows of all blocks, one block after the other.
        blocks: ``[count, 4]``: begin and end in ``order``, first and end of the pooled
            rows it owns.
    """
    total = len(rows) if next_rows is None else next_rows
    edges = np.linspace(0, total, min(count, total) + 1).astype(int)
    order, blocks = [], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        begin = len(order)
        if next_rows is None:
            order += range(low, high)
        else:
            owned = [
                row
                for row in range(len(rows))
                if any(low <= target < high for target in rows.targets(row))
            ]
            order += owned
        blocks.append((begin, len(order), low, high))
    return np.array(order, np.int32), _table(blocks, 4)
