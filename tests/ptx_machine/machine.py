"""Runs PTX on NumPy: what Triton compiled for a GPU, where there is none.

Unlike Triton's interpreter it has threads, in the layouts that the compiler chose, with
shuffles between the lanes of a warp, shared memory and barriers. All warps of a block
go in step, or one after the other from barrier to barrier, the last one first: what
depends on it is a race. Every access is checked against the memory of the tensors that
were passed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .lanes import WARP, ldmatrix, mma_f64, mma_tf32, redux, round_tf32, shuffle
from .translate import Kernel, translate


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c with one rounding, or in float64 with an error of 1e-32 before it."""
    if a.dtype == np.float32:
        exact = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
        return exact.astype(np.float32)
    product, lost = two_product(a, b)
    total = product + c
    shadow = total - product
    return total + ((product - (total - shadow)) + (c - shadow) + lost)


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a b, and what its rounding lost (Dekker 1971)."""

    def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high = x * 134217729.0
        high = high - (high - x)
        return high, x - high

    (a1, a2), (b1, b2), product = split(a), split(b), a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def shl(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return x << n.astype(x.dtype)


def shr(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return x >> n.astype(x.dtype)


def bfe(x: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Some bits of x, from bit ``start`` on; of a signed number with their sign."""
    size = 8 * x.dtype.itemsize
    top = x << (size - start - length).astype(x.dtype)
    return top >> (size - length).astype(x.dtype)


def rough(x: np.ndarray, error: float) -> np.ndarray:
    """A result of an approximate instruction: off by the most that is allowed, up or
    down as its bits say."""
    up = (x.view(np.uint32) * np.uint32(2654435761)) >> np.uint32(31)
    sign = 2 * up.astype(np.float32) - 1
    return (x + x * (np.float32(error) * sign)).astype(np.float32)


def prmt(a: np.ndarray, b: np.ndarray, selector: int) -> np.ndarray:
    """Four of the eight bytes of b and a, or four times the sign of one."""
    both = a.astype(np.uint64) | (b.astype(np.uint64) << np.uint64(32))
    out = np.zeros(a.shape, np.uint32)
    for n in range(4):
        choice = selector >> 4 * n & 15
        byte = (both >> np.uint64(8 * (choice & 7))) & np.uint64(255)
        if choice & 8:
            byte = (byte >> np.uint64(7)) * np.uint64(255)
        out |= byte.astype(np.uint32) << np.uint32(8 * n)
    return out


def wait(pending: list, left: int) -> None:
    """Do all asynchronous copies but those of the last groups."""
    # The last entry has the copies that no group has yet.
    while len(pending) > left + 1:
        for copy in pending.pop(0):
            _copy(*copy)


def _copy(shared, to, memory, source, offset, count, size, mask, threads) -> None:
    for at in range(0, size, 4):
        live = np.broadcast_to(True if mask is None else mask, (threads,))
        inside = live & (count > at)
        value = memory.load(source, offset + at, "u4", inside, threads)
        shared.store(to, at, value, "u4", live, threads)


def convert(x: np.ndarray, dtype: str, rounded: str) -> np.ndarray:
    functions = {"": lambda x: x, "rzi": np.trunc, "rmi": np.floor, "rni": np.rint}
    return functions[rounded](x).astype(dtype)


def bits(x: Any, dtype: str, threads: int) -> np.ndarray:
    """Numbers as they are kept in a register."""
    x = np.broadcast_to(np.asarray(x), (threads,))
    if dtype == "?":
        return x.astype(bool)
    if x.dtype.kind == "b":
        return x.astype(dtype)
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}").astype(dtype)


class Memory:
    """Global memory by address, or shared memory of a block.

    Args:
        regions: first and end address of what may be touched.
        data: the bytes; None for those of this process.
    """

    def __init__(
        self, regions: list[tuple[int, int]], data: np.ndarray | None = None
    ) -> None:
        self.regions = [region for region in regions if region[1] > region[0]]
        self.base = 0 if data is not None else min(r[0] for r in self.regions) & -16
        self.end = max(r[1] for r in self.regions)
        self.data = data

    def _places(self, base: Any, offset: int, size: int, mask: Any, threads: int):
        address = np.broadcast_to(base, (threads,)).astype(np.int64) + offset
        live = np.broadcast_to(True if mask is None else mask, (threads,))
        address = address[live]
        inside = np.zeros(len(address), bool)
        for start, end in self.regions:
            inside |= (address >= start) & (address + size <= end)
        if not inside.all():
            raise IndexError(f"address {address[~inside][0]:#x} is of no tensor")
        assert not np.any(address % size), "an address is not aligned"
        return (address - self.base) // size, live

    def _view(self, dtype: str) -> np.ndarray:
        if self.data is not None:
            return self.data.view(dtype)
        size = int(dtype[1])
        shape = ((self.end - self.base) // size,)
        interface = {"data": (self.base, False), "typestr": f"<{dtype}", "version": 3}
        holder = type("Raw", (), {"__array_interface__": interface | {"shape": shape}})
        return np.asarray(holder())

    def load(
        self, base: Any, offset: int, dtype: str, mask: Any, threads: int
    ) -> np.ndarray:
        at, live = self._places(base, offset, int(dtype[1]), mask, threads)
        out = np.zeros(threads, dtype)
        out[live] = self._view(dtype)[at]
        return out

    def store(
        self, base: Any, offset: int, x: Any, dtype: str, mask: Any, threads: int
    ) -> None:
        at, live = self._places(base, offset, int(dtype[1]), mask, threads)
        self._view(dtype)[at] = bits(x, dtype, threads)[live]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "np": np, "bits": bits, "shuffle": shuffle, "redux": redux, "ldmatrix": ldmatrix,
    "mma_f64": mma_f64, "mma_tf32": mma_tf32, "prmt": prmt, "wait": wait,
    "round_tf32": round_tf32,
    "rough": rough, "fma": fma, "shl": shl, "shr": shr,
    "bfe": bfe, "convert": convert, "min": np.fmin, "max": np.fmax,
    "rcp": np.reciprocal, "abs": np.abs, "neg": np.negative, "sqrt": np.sqrt,
    "div": np.divide,
    "rsqrt": lambda x: (1 / np.sqrt(x)).astype(x.dtype),
    # PTX takes the sign of its first argument.
    "copysign": lambda sign, x: np.copysign(x, sign),
}  # fmt: skip


class Machine:
    """A kernel, to be run on grids of blocks."""

    def __init__(self, ptx: str) -> None:
        self.kernel: Kernel = translate(ptx)
        self.code = [
            compile("\n".join(block.lines) or "pass", "<ptx>", "exec")
            for block in self.kernel.blocks
        ]

    def run(
        self,
        grid: tuple[int, int, int],
        arguments: list[int],
        regions: list[tuple[int, int]],
        shared: int,
        last_first: bool = False,
    ) -> None:
        """Run all blocks.

        Args:
            arguments: numbers and addresses.
            regions: of the tensors.
            shared: bytes of shared memory.
            last_first: blocks and warps one after the other, in the opposite order.
        """
        memory = Memory(regions)
        given = [np.array(a % (1 << 64), np.uint64) for a in arguments]
        parameters = dict(zip(self.kernel.parameters, given, strict=True))
        blocks = [place[::-1] for place in np.ndindex(*grid[::-1])]
        together = WARP if last_first else self.kernel.threads
        for place in blocks[::-1] if last_first else blocks:
            self._block(place, grid, parameters, memory, shared, together)

    def _block(
        self, place: Any, grid: Any, P: Any, memory: Any, shared: int, together: int
    ) -> None:
        size = max(shared, 16)
        own = Memory([(0, size)], np.zeros(size, np.uint8))
        firsts = range(0, self.kernel.threads, together)
        waiting = [
            self._warps(np.arange(first, first + together), place, grid, P, memory, own)
            for first in reversed(firsts)
        ]
        while waiting:
            alive = [warps for warps in waiting if next(warps, "end") != "end"]
            assert len(alive) in (0, len(waiting)), "a warp misses a barrier"
            waiting = alive

    def _warps(
        self, threads: np.ndarray, place: Any, grid: Any, P: Any, memory: Any, own: Any
    ) -> Iterator[None]:
        """Run some warps; they stop at every barrier."""
        special = {"tid.x": threads.astype(np.uint32)}
        for axis, letter in enumerate("xyz"):
            for name, value in (("ctaid", place[axis]), ("nctaid", grid[axis])):
                special[f"{name}.{letter}"] = np.full(len(threads), value, np.uint32)
        space = {**FUNCTIONS, "S": special, "P": P, "T": len(threads)}
        space |= {"R": {}, "memory": memory, "shared": own, "pending": [[]]}
        at, blocks = 0, self.kernel.blocks
        while at < len(blocks):
            block = blocks[at]
            exec(self.code[at], space)
            if block.barrier:
                yield
            if block.ends:
                return
            at = self._next(at, block, space["R"])

    def _next(self, at: int, block: Any, registers: Any) -> int:
        if block.branch is None:
            return at + 1
        guard, label = block.branch
        if guard is None:
            return self.kernel.labels[label]
        taken = registers[guard[0]] ^ guard[1]
        assert taken.all() or not taken.any(), "threads of a warp part at a branch"
        return self.kernel.labels[label] if taken.all() else at + 1
