"""From images in memory to lanes in the workspace, and back.

Lane l of a tile holds a pair of images of the block. Images and maps are copied into
lanes once per tile, which is nothing beside its planes.
"""

from .cpu_lanes import LANES, outer


@outer
def gather(rows, which, target, start):
    """``[B, size] -> [size, LANES]``: rows ``which`` side by side, at ``start``."""
    for lane in range(LANES):
        for x in range(rows.shape[1]):
            target[start + x * LANES + lane] = rows[which[lane], x]


@outer
def scatter_add(source, start, which, count, rows):
    """Add ``[size, LANES]`` at ``start`` to rows ``which`` of ``[B, size]``.

    Only the first ``count`` lanes are added.
    """
    for lane in range(count):
        for x in range(rows.shape[1]):
            rows[which[lane], x] += source[start + x * LANES + lane]
