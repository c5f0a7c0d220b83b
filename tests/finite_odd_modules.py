"""Modules that use their parameters in unusual ways; see ``finite_registry``."""

import torch
import torch.nn.functional as F
from finite_registry import module, real
from torch import nn


@module(real(6))
class CustomFunction(nn.Module):
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 3)

    def forward(self, x):
        return self.Sine.apply(self.l(x))


@module(real(5, 3))
class Gated(nn.Module):
    """A recurrent cell, whose kernel torch hides in one call per step."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 4)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return h


@module(real(6), **{"a__weight": "jacobian, one sample at a time"})
class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        run = torch.utils.checkpoint.checkpoint
        return self.b(run(lambda h: torch.tanh(self.a(h)), x, use_reentrant=False))


@module(real(3, 4))
class FramesAsBatch(nn.Module):
    """Frames folded into the batch, before and after the samples."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        n, t, _ = x.shape
        h = torch.tanh(self.a(x.reshape(n * t, 4))).view(n, t, 5)
        h = self.b(h.transpose(0, 1).reshape(t * n, 5)).view(t, n, 2)
        return h.sum(0)


@module(real(3, 2, 4, 4))
class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(2, 3, 3)

    def forward(self, x):
        h = torch.tanh(self.c(x.flatten(0, 1))).unflatten(0, (-1, 3))
        return h.sum((1, 3, 4))


@module(real(6))
class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 2), nn.Linear(2, 2)
        self.p = nn.Parameter(torch.randn(3))

    def forward(self, x):
        return self.a(x)


@module(real(6))
class Bilinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Bilinear(6, 6, 2)

    def forward(self, x):
        return self.b(x, x)


@module(real(6), w="product")
class EinsumAndAddmm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))
        self.v = nn.Parameter(torch.randn(4, 2))

    def forward(self, x):
        h = torch.addmm(self.b, x, self.w).tanh()
        return torch.einsum("ni,ij->nj", h, self.v)


@module(real(2, 6, 6))
class ResidualBlock(nn.Module):
    """Convolution, batch norm and in-place activation, as in a ResNet."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
        self.n, self.m = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(2, 4, 1, stride=2, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        h = self.m(self.b(self.act(self.n(self.a(x)))))
        h += self.skip(x)
        return self.act(h).mean((2, 3))


@module(real(6), w="product", v="product", s="jacobian")
class CastWeights(nn.Module):
    """Mixed precision written out: a kernel in the dtype of the parameters."""

    def __init__(self):
        super().__init__()
        self.w, self.v = (
            nn.Parameter(torch.randn(4, 6)),
            nn.Parameter(torch.randn(4, 2)),
        )
        self.s = nn.Parameter(torch.randn(4))

    def forward(self, x):
        h = F.linear(x.float(), self.w.float()) * self.s.to(torch.float32)
        return torch.tanh(h).to(x.dtype) @ self.v.double()


@module(
    real(2, 2, 5),
    **{"c + d": "convolution", "w + b": "product", "v + e": "product"},
)
class AddedBiases(nn.Module):
    """Biases that are added to a product, subtracted from it or scaled."""

    def __init__(self):
        super().__init__()
        self.c, self.d = (
            nn.Parameter(torch.randn(3, 2, 2)),
            nn.Parameter(torch.randn(3)),
        )
        self.w, self.b = nn.Parameter(torch.randn(12, 4)), nn.Parameter(torch.randn(4))
        self.v, self.e = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.randn(2))

    def forward(self, x):
        h = F.conv1d(x.flatten(0, 1), self.c) + self.d[:, None]
        h = torch.tanh(h).unflatten(0, (-1, 2)).sum(1).flatten(1)
        h = torch.tanh(0.5 * self.b + h @ self.w)
        return F.linear(h, self.v * 2) - 3 * self.e


@module(real(6), w="product", b="jacobian", v="product", c="jacobian", d="jacobian")
class BiasesOnTheirOwn(nn.Module):
    """Sums whose product is read elsewhere, whose bias has more axes or is tied."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(6, 3)), nn.Parameter(torch.randn(3))
        self.v, self.c = (
            nn.Parameter(torch.randn(2, 3)),
            nn.Parameter(torch.randn(3, 2)),
        )
        self.d = nn.Parameter(torch.randn(2))

    def forward(self, x):
        y = x @ self.w
        y = torch.tanh(y + self.b) * y
        z = F.linear(y[:, None].expand(-1, 3, -1), self.v) + self.c
        return torch.tanh(z).sum(1) * self.d + self.d
