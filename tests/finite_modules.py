"""Modules of torch's own layers, each of another kind; see ``finite_registry``."""

import torch
import torch.nn.functional as F
from finite_registry import ids, module, real
from torch import nn


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
