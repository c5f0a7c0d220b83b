"""Subsampled randomised Fourier transforms of features and of tensor products."""

from functools import reduce
from operator import add

import numpy as np
from array_api_compat import array_namespace

from .blocks import Array, Blocks, Layout
from .constants import Constant, take
from .directions import signs


class SRHT:
    r"""S x = F(s x)[i] / sqrt(k): random signs, a Fourier transform, k random rows.

    .. math:: E \langle S x, S y \rangle = x \cdot y.

    The result is complex, ``[..., k]``. A patch is transformed tap by tap, each with
    signs and rows of its own, and the results are added up: they are uncorrelated, and
    no patch is formed. Rows are drawn without replacement; where k is more than the
    length of the transform, several transforms are stacked.

    Args:
        rng: draws the signs and rows.
        layout: of the features.
        k: number of complex features.

    Reference: Ailon & Chazelle 2009 (fast Johnson-Lindenstrauss); Ahle et al. 2020
    (1909.01410), section 4.2.
    """

    def __init__(self, rng: np.random.Generator, layout: Layout, k: int) -> None:
        self.k = k
        self.taps = [
            [_transforms(rng, channels, k) for _ in range(taps)]
            for taps, channels in layout
        ]

    def __call__(self, blocks: Blocks) -> Array:
        """``[n, *S, k]``, complex."""
        parts = [
            block.finish(reduce(add, map(_transformed, block.views(), taps)))
            for block, taps in zip(blocks, self.taps, strict=True)
        ]
        return reduce(add, parts) * self.k**-0.5


class TensorSRHT:
    r"""A sketch of x (x) y that never forms it: sqrt(k) (S_1 x) (S_2 y).

    .. math:: E \langle T(x, y), T(x', y') \rangle = (x \cdot x') (y \cdot y').

    Args:
        rng: draws both transforms.
        left, right: layouts of x and y.
        k: number of complex features.

    Reference: Ahle et al. 2020 (1909.01410), definition 4.3.
    """

    def __init__(
        self, rng: np.random.Generator, left: Layout, right: Layout, k: int
    ) -> None:
        self.k = k
        self.left, self.right = SRHT(rng, left, k), SRHT(rng, right, k)

    def __call__(self, left: Blocks, right: Blocks) -> Array:
        """``[n, *S, k]``, complex."""
        return self.k**0.5 * self.left(left) * self.right(right)


def real_features(z: Array) -> Array:
    """Real and imaginary parts side by side, ``[..., k] -> [..., 2 k]``; their product
    is the real part of the complex one."""
    xp = array_namespace(z)
    return xp.concat([xp.real(z), xp.imag(z)], axis=-1)


def _transforms(
    rng: np.random.Generator, length: int, k: int
) -> list[tuple[Constant, np.ndarray]]:
    """Signs and rows of as many transforms as it takes to have k rows."""
    rows = [min(length, k - start) for start in range(0, k, length)]
    return [(Constant(signs(rng, length)), rng.permutation(length)[:r]) for r in rows]


def _transformed(x: Array, transforms: list[tuple[Constant, np.ndarray]]) -> Array:
    xp = array_namespace(x)
    parts = [
        take(xp.fft.fft(_complex(x * flips.like(x)), axis=-1), rows)
        for flips, rows in transforms
    ]
    return xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def _complex(x: Array) -> Array:
    """x as complex numbers of its own precision."""
    xp = array_namespace(x)
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    single = xp.finfo(x.dtype).bits == 32
    return xp.astype(x, xp.complex64 if single else xp.complex128)
