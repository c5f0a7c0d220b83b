"""Subsampled randomised Fourier transforms of features and of tensor products."""

from functools import reduce
from operator import add

import numpy as np
from array_api_compat import array_namespace

from .blocks import Array, Blocks, Layout, matmul
from .constants import Constant, take
from .directions import signs

# A Fourier transform of n numbers costs about as much as so many log2(n) of its rows by
# a matrix product (NumPy on two cores).
DENSE = 12


class SRHT:
    r"""S x = F(s x)[i] / sqrt(k): random signs, a Fourier transform, k random rows.

    .. math:: E \langle S x, S y \rangle = x \cdot y.

    The result is complex, ``[..., k]``. A patch is transformed tap by tap, each with
    signs and rows of its own, and the results are added up: they are uncorrelated, and
    no patch is formed. Rows are drawn without replacement; where k is more than the
    length of the transform, several transforms are stacked. A few rows of a transform
    are computed as a matrix product, which is the same and faster (``DENSE``).

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

    def weights(self) -> np.ndarray | None:
        """The sketch as a matrix ``[width, 2 k]`` of real and imaginary parts; None
        where it is faster by Fourier transforms."""
        each = [tap for block in self.taps for tap in block]
        if any(one.matrix is None for tap in each for one in tap):
            return None
        parts = [np.concatenate([t.waves for t in tap], axis=1) for tap in each]
        waves = np.concatenate(parts) * self.k**-0.5
        return np.concatenate([waves.real, waves.imag], axis=1)

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


class Transform:
    """F(s x)[rows] for one choice of signs and rows.

    Args:
        flips: the signs s, ``[length]``.
        rows: indices, ``[k]``.
    """

    def __init__(self, flips: np.ndarray, rows: np.ndarray) -> None:
        self.flips, self.rows = Constant(flips), rows
        length, self.matrix = len(flips), None
        if len(rows) <= DENSE * np.log2(length + 1):
            turns = np.outer(np.arange(length), rows) % length / length
            self.waves = flips[:, None] * np.exp(-2j * np.pi * turns)
            parts = [self.waves.real, self.waves.imag]
            self.matrix = Constant(np.concatenate(parts, axis=1))

    def __call__(self, x: Array) -> Array:
        """``[..., length]``, real or complex, ``-> [..., k]``, complex."""
        xp = array_namespace(x)
        if self.matrix is None:
            flips = self.flips.like(xp.real(x) if _is_complex(x) else x)
            return take(xp.fft.fft(_complex(x * flips), axis=-1), self.rows)
        if not _is_complex(x):
            return self._dense(x)
        return self._dense(xp.real(x)) + 1j * self._dense(xp.imag(x))

    def _dense(self, x: Array) -> Array:
        return paired(matmul(x, self.matrix))


def paired(y: Array) -> Array:
    """Real and imaginary parts side by side as complex numbers, ``[..., 2 k] ->
    [..., k]``: the inverse of ``real_features``."""
    k = y.shape[-1] // 2
    return _complex(y[..., :k]) + 1j * _complex(y[..., k:])


def _transforms(rng: np.random.Generator, length: int, k: int) -> list[Transform]:
    """As many transforms as it takes to have k rows."""
    rows = [min(length, k - start) for start in range(0, k, length)]
    return [Transform(signs(rng, length), rng.permutation(length)[:r]) for r in rows]


def _transformed(x: Array, transforms: list[Transform]) -> Array:
    parts = [transform(x) for transform in transforms]
    return array_namespace(x).concat(parts, axis=-1) if len(parts) > 1 else parts[0]


def _is_complex(x: Array) -> bool:
    return array_namespace(x).isdtype(x.dtype, "complex floating")


def _complex(x: Array) -> Array:
    """x as complex numbers of its own precision."""
    xp = array_namespace(x)
    if _is_complex(x):
        return x
    single = xp.finfo(x.dtype).bits == 32
    return xp.astype(x, xp.complex64 if single else xp.complex128)
