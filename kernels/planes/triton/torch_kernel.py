"""Kernels of a plane program between images on a GPU, and their gradient."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..program import Program
from .torch_gradient import Bars, pull_back
from .torch_head import Scalars, needs_variances, run_head
from .torch_planes import Planes, Side, run
from .torch_variances import pull_back_variances, with_variances

Tensor = torch.Tensor
# Images of a block, whose pairs are listed at a time.
BLOCK = 1024


@dataclass(frozen=True)
class PlaneKernel:
    """NNGP and NTK of a plane program; what the bridge to autograd calls.

    float32 images are computed in float32 with sums over planes in float64; pairs of
    images with a small angle in float64, as the angle is the square root of what
    rounding leaves of a correlation.

    Args:
        program: made by ``lower``.
        names: "nngp", "ntk", in the order of the results.
    """

    program: Program
    names: tuple[str, ...]

    @torch.no_grad()
    def forward(self, x1: Tensor, x2: Tensor | None) -> tuple[Tensor, ...]:
        """The kernels ``[n, m]`` in the dtype of x1; x2 None for x1 itself."""
        one = _Images(self, x1)
        two = one if x2 is None else _Images(self, x2)
        out = {name: x1.new_empty((len(x1), len(two.planar))) for name in self.names}
        for block in _blocks(one, two):
            found = run_head(self.program.head, block.scalars())
            for name, part in (("nngp", found.k), ("ntk", found.t)):
                if name in out:
                    out[name][block.rows, block.cols] = part.to(x1.dtype)
                    if block.mirrored:
                        out[name][block.cols, block.rows] = part.T.to(x1.dtype)
        return tuple(out[name] for name in self.names)

    @torch.no_grad()
    def vjp(
        self, x1: Tensor, x2: Tensor | None, cotangents: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients in x1 and x2 of sum(cotangent * kernel), over all kernels.

        Planes are computed again, so that memory grows with neither depth nor pairs.
        Where a derivative is infinite, at equal images, it counts as 0.
        """
        one = _Images(self, x1)
        two = one if x2 is None else _Images(self, x2)
        bars = dict(zip(self.names, cotangents, strict=True))
        for block in _blocks(one, two):
            given = [block.cotangent(bars.get(name)) for name in ("nngp", "ntk")]
            block.pull_back(*given)
        return one.gradient(), None if x2 is None else two.gradient()

    @property
    def want_t(self) -> bool:
        return "ntk" in self.names

    def planes(self, double: bool) -> Planes:
        """All planes in one precision."""
        return Planes(self.program, self.want_t, double)


class _Images:
    """The images of one side, with what depends on one image in either precision."""

    def __init__(self, kernel: PlaneKernel, x: Tensor) -> None:
        self.kernel, self.x = kernel, x
        channels = x.shape[-1]
        planar = x.reshape(len(x), -1, channels).transpose(1, 2)
        shape = (len(x), channels, *kernel.program.shape)
        self.planar = planar.reshape(shape).contiguous()
        self.sides: dict[bool, Side] = {}
        self.bars: dict[bool, Bars] = {}
        self.variances: Tensor | None = None
        self.variance_bars: Tensor | None = None
        if needs_variances(kernel.program.head):
            self.variances = self._own()
            self.variance_bars = torch.zeros_like(self.variances)

    @property
    def double(self) -> bool:
        return self.x.dtype == torch.float64

    def side(self, double: bool) -> Side:
        """The images and their variances."""
        if double not in self.sides:
            images = self.planar.to(torch.float64 if double else torch.float32)
            side = with_variances(self.kernel.planes(double), images)
            self.sides[double] = side
        return self.sides[double]

    def bar(self, double: bool) -> Bars:
        """The gradients of ``side``, to add to."""
        if double not in self.bars:
            self.bars[double] = Bars.like(self.side(double))
        return self.bars[double]

    def _diagonal(self) -> tuple[Tensor, Tensor]:
        own = torch.arange(len(self.x), dtype=torch.int32, device=self.x.device)
        return own, own

    def _own(self) -> Tensor:
        """The variance of every image after the readout."""
        planes = Planes(self.kernel.program, False, self.double)
        side = self.side(self.double)
        sums = run(planes, side, side, *self._diagonal())[:, 0]
        return sums * self.kernel.program.scale

    def gradient(self) -> Tensor:
        """The gradient of the images, all parts taken together."""
        if self.variance_bars is not None:
            seed = (self.variance_bars * self.kernel.program.scale)[:, None]
            planes = Planes(self.kernel.program, False, self.double)
            side, bar = self.side(self.double), self.bar(self.double)
            pull_back(planes, side, side, *self._diagonal(), seed, (bar, bar))
        total = torch.zeros_like(self.planar, dtype=torch.float64)
        for double, bar in self.bars.items():
            pull_back_variances(self.kernel.planes(double), self.side(double), bar)
            total += bar.images
        n, channels = total.shape[:2]
        planar = total.reshape(n, channels, -1).transpose(1, 2)
        return planar.reshape(self.x.shape).to(self.x.dtype)


@dataclass(frozen=True)
class _Block:
    """The pairs of some images of one side with some of the other."""

    one: _Images
    two: _Images
    rows: slice
    cols: slice

    @property
    def same(self) -> bool:
        """Whether only pairs n <= m are computed, and the others follow."""
        return self.one is self.two and self.rows == self.cols

    @property
    def mirrored(self) -> bool:
        """Whether the transposed block follows from this one."""
        return self.one is self.two and self.rows != self.cols

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def shares(self) -> Iterator[tuple[bool, Tensor, Tensor]]:
        """Whether in float64, and int32 numbers of the images of its pairs."""
        device = self.one.x.device
        wanted = torch.ones(self.shape, dtype=torch.bool, device=device)
        if self.same:
            wanted = wanted.triu()
        double = torch.full_like(wanted, self.one.double)
        if not self.one.double:
            images = (self.one.planar[self.rows], self.two.planar[self.cols])
            double = nearly_parallel(*(x.flatten(1) for x in images))
        for precise in (False, True):
            first, second = torch.nonzero(wanted & (double == precise), as_tuple=True)
            if len(first):
                first, second = first + self.rows.start, second + self.cols.start
                yield precise, first.int(), second.int()

    def scalars(self) -> Scalars:
        """The kernels before the head, float64."""
        sums = self.one.x.new_zeros(
            (2 if self.one.kernel.want_t else 1, *self.shape), dtype=torch.float64
        )
        for double, first, second in self.shares():
            planes = self.one.kernel.planes(double)
            found = run(
                planes, self.one.side(double), self.two.side(double), first, second
            )
            at = first.long() - self.rows.start, second.long() - self.cols.start
            sums[:, *at] = found.T * self.one.kernel.program.scale
        if self.same:
            sums = sums.triu() + sums.triu(1).mT
        return self._scalars(sums)

    def _scalars(self, sums: Tensor) -> Scalars:
        t = sums[1] if len(sums) == 2 else None
        if self.one.variances is None:
            return Scalars(sums[0], t)
        v1, v2 = self.one.variances[self.rows], self.two.variances[self.cols]
        return Scalars(sums[0], t, v1[:, None].clamp(min=0), v2[None].clamp(min=0))

    def cotangent(self, bar: Tensor | None) -> Tensor:
        """The cotangent of the block, and of the mirrored block if there is one."""
        if bar is None:
            return self.one.x.new_zeros(self.shape, dtype=torch.float64)
        own = bar[self.rows, self.cols].double()
        return own + bar[self.cols, self.rows].double().T if self.mirrored else own

    def pull_back(self, nngp: Tensor, ntk: Tensor) -> None:
        """Add to the gradients of both sides."""
        before = self._before_head(nngp, ntk)
        if before.v1 is not None:
            self.one.variance_bars[self.rows] += before.v1[:, 0]
            self.two.variance_bars[self.cols] += before.v2[0]
        parts = [before.k] if before.t is None else [before.k, before.t]
        seeds = torch.stack(parts, -1) * self.one.kernel.program.scale
        if self.same:
            seeds = seeds + seeds.transpose(0, 1)
            seeds.diagonal().mul_(0.5)
        for double, first, second in self.shares():
            at = first.long() - self.rows.start, second.long() - self.cols.start
            planes = self.one.kernel.planes(double)
            sides = self.one.side(double), self.two.side(double)
            bars = self.one.bar(double), self.two.bar(double)
            pull_back(planes, *sides, first, second, seeds[at], bars)

    def _before_head(self, nngp: Tensor, ntk: Tensor) -> Scalars:
        """The gradients of ``scalars``."""
        if needs_variances(self.one.kernel.program.head):
            value = self.scalars()
        else:
            # The head is linear, so that its gradient does not depend on the value.
            parts = 2 if self.one.kernel.want_t else 1
            value = self._scalars(nngp.new_zeros((parts, *self.shape)))
        with torch.enable_grad():
            value = value.map(lambda x: x.detach().requires_grad_())
            fields = (value.k, value.t, value.v1, value.v2)
            leaves = [x for x in fields if x is not None]
            found = run_head(self.one.kernel.program.head, value)
            total = (found.k * nngp).sum()
            if found.t is not None:
                total = total + (found.t * ntk).sum()
        given = iter(torch.autograd.grad(total, leaves, materialize_grads=True))
        return value.map(lambda _: next(given))


def _blocks(one: _Images, two: _Images) -> Iterator[_Block]:
    n, m = len(one.planar), len(two.planar)
    for i in range(0, n, BLOCK):
        for j in range(i if one is two else 0, m, BLOCK):
            rows, cols = slice(i, min(i + BLOCK, n)), slice(j, min(j + BLOCK, m))
            yield _Block(one, two, rows, cols)


def nearly_parallel(x1: Tensor, x2: Tensor) -> Tensor:
    """Which pairs of rows have an angle below 0.2, but are not equal, ``[n, m]``."""
    products = x1 @ x2.T
    sizes = (x1 * x1).sum(1)[:, None] * (x2 * x2).sum(1)
    near = products * products > 0.96 * sizes
    first, second = torch.nonzero(near, as_tuple=True)
    for some in torch.arange(len(first), device=x1.device).split(4096):
        equal = (x1[first[some]] == x2[second[some]]).all(1)
        near[first[some], second[some]] = ~equal
    return near
