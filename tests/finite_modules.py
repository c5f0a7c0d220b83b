"""Small torch modules whose empirical NTK is checked, each of another kind.

Every entry makes ``(module, x1, x2)``; the path that each parameter should take stands
beside it in ``PATHS``.
"""

import torch
import torch.nn.functional as F
from torch import nn

MODULES = {}
PATHS = {}


def module(x, **paths):
    """Register a module class or factory with the shape of a sample of its inputs."""

    def add(make):
        def case():
            torch.manual_seed(0)
            net = make().double().eval()
            return net, x(4), x(3)

        MODULES[make.__name__] = case
        PATHS[make.__name__] = {k.replace("__", "."): v for k, v in paths.items()}
        return make

    return add


def real(*shape):
    return lambda n: torch.randn(n, *shape, dtype=torch.float64)


def ids(size, *shape):
    return lambda n: torch.randint(0, size, (n, *shape))


@module(real(6))
def Perceptron():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


@module(real(2, 5, 6))
def LinearOfHighRank():
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2), nn.Flatten())


@module(real(2, 7, 6))
def Convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, (3, 2), stride=2, groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(54, 3),
    )


@module(real(3, 8))
def Convolution1d():
    return nn.Sequential(nn.Conv1d(3, 4, 3, dilation=2, padding="same"), nn.Flatten())


@module(real(2, 4, 3, 4))
def Convolution3d():
    return nn.Sequential(nn.Conv3d(2, 2, 2, padding=(1, 0, 1)), nn.Flatten())


@module(real(2, 5, 5))
def CircularConvolution():
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"))


@module(real(3, 5), **{"0__weight": "jacobian, one sample at a time"})
def TransposedConvolution():
    return nn.Sequential(nn.ConvTranspose1d(3, 2, 3), nn.Tanh(), nn.Flatten())


@module(real(4, 5, 5))
def Norms():
    return nn.Sequential(
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3),
        nn.GroupNorm(2, 4),
        nn.ReLU(inplace=True),
        nn.LayerNorm([3, 3]),
        nn.Flatten(2),
        nn.RMSNorm(9),
        nn.Flatten(),
        nn.BatchNorm1d(36),
        nn.Linear(36, 2),
    )


@module(ids(9, 5), e__weight="table", pos="jacobian")
class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(9, 4, padding_idx=2)
        self.pos = nn.Parameter(torch.randn(5, 4))
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.e(x) + self.pos).mean(1))


@module(ids(9, 5), table="table")
class IndexedTable(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4))

    def forward(self, x):
        return torch.tanh(self.table[x - 3] * 2).sum(1)


@module(ids(7, 5), e__weight="jacobian")
class TiedEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.e.weight

    def forward(self, x):
        return self.out(torch.tanh(self.e(x)).mean(1))


@module(real(6), **{"l__weight": "product"})
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 6)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.l(x))
        return x


@module(real(6), w="product", s="jacobian", t="jacobian", c="jacobian")
class BareParameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.s = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))
        self.t, self.c = nn.Parameter(torch.randn(())), nn.Parameter(torch.randn(4))

    def forward(self, x):
        h = torch.tanh(x @ self.w * self.s)
        return (1 - self.c) + (2 - h) * self.t - self.c


@module(real(6), w="product", v="product", u="product")
class ScaledWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 6))
        self.v, self.u = nn.Parameter(torch.randn(5, 5)), nn.Parameter(torch.randn(20))

    def forward(self, x):
        h = torch.tanh(F.linear(x, self.w * 0.3))
        h = torch.tanh(h @ (-self.v / 2.0).T)
        return h.matmul(self.u.view(4, 5).transpose(0, 1))


@module(real(6), q="product", r="jacobian")
class SlicedWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.r = (nn.Parameter(torch.randn(12, s)) for s in (6, 6))

    def forward(self, x):
        a, b, c = self.q.chunk(3)
        h = F.linear(x, a) * F.linear(x, b) + F.linear(x, c * 0.5)
        return h @ self.r[:4] @ self.r[2:].T


@module(real(6), A="jacobian", B="jacobian", w="product")
class LowRankUpdate(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 6))
        self.A, self.B = (
            nn.Parameter(torch.randn(4, 2)),
            nn.Parameter(torch.randn(2, 6)),
        )

    def forward(self, x):
        return F.linear(x, self.w) + torch.tanh(F.linear(x, self.A @ self.B * 0.3))


@module(real(6))
def WeightNorm():
    return nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Tanh()
    )


@module(real(5, 8))
class Attention(nn.Module):
    def __init__(self, batch_first=True):
        super().__init__()
        self.a = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.first = batch_first

    def forward(self, x):
        x = x if self.first else x.transpose(0, 1)
        h, _ = self.a(x, x, x, need_weights=False)
        return h.mean(1 if self.first else 0)


# Here tokens come first and there are as many tokens as samples.
@module(real(4, 8), **{"a__in_proj_weight + a__in_proj_bias": "product"})
def AttentionTokensFirst():
    return Attention(batch_first=False)


@module(real(5, 8))
class CrossAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.MultiheadAttention(8, 2, batch_first=True, kdim=3, vdim=4)
        self.b = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True)

    def forward(self, x):
        h, weights = self.a(x, x[:, :2, :3], x[:, :2, :4])
        return self.b(h, x, x)[0].sum(1) + weights.sum((1, 2))[:, None]


@module(real(5, 8))
def Encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 2))


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
