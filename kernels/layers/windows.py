"""How windows tile an axis: output sizes and paddings, as in XLA."""


def extent(size: int, taps: int, stride: int, padding: str) -> int:
    """Number of windows of ``taps`` pixels along an axis of ``size`` pixels."""
    if padding == "VALID":
        return (size - taps) // stride + 1
    return -(-size // stride)


def margins(size: int, taps: int, stride: int, padding: str) -> tuple[int, int]:
    """Pixels added before and after an axis; the odd one goes after."""
    if padding == "VALID":
        return 0, 0
    total = max((extent(size, taps, stride, padding) - 1) * stride + taps - size, 0)
    return total // 2, total - total // 2
