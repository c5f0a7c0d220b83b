"""Where the pixels of a plane lie in the two images."""

from .cpu_lanes import inner


@inner
def place_of(d0, d1, torus):
    """First row and column of a plane in the first image, and in the second one."""
    if torus:
        return 0, 0, d0, d1
    return max(0, -d0), max(0, -d1), max(0, d0), max(0, d1)


@inner
def plane_shape(d0, d1, torus, height, width):
    """Pixels of a plane of images of ``height`` and ``width``."""
    if torus:
        return height, width
    return height - abs(d0), width - abs(d1)


@inner
def second(start, step, size):
    """Index in the second image of pixel ``step`` of a plane, which may wrap around."""
    index = start + step
    return index - size if index >= size else index
