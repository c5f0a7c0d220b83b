"""TensorSketch: powers of a kernel by convolutions of count sketches."""

import numpy as np
from array_api_compat import array_namespace

from .blocks import Array, matmul
from .constants import Constant
from .directions import signs


class TensorSketch:
    r"""U_l(x) with E U_l(x) . U_l(y) = (x . y)^l for l = 0, ..., q, real.

    A count sketch C x adds the features, with random signs, into m random bins. That of
    a tensor product is the convolution of those of its factors:

    .. math:: U_l(x) = F^{-1} (F C_1 x \cdots F C_l x).

    The variance grows like 3^l; for l >= 4 ``PolySketch`` is better.

    Args:
        rng: draws bins and signs.
        d: number of features of x.
        m: number of features of each degree.
        degree: q >= 0.

    Reference: Pham & Pagh 2013, algorithm 1.

    >>> sketch = TensorSketch(np.random.default_rng(0), d=3, m=8, degree=2)
    >>> [u.shape for u in sketch(np.ones((5, 3)))]
    [(5, 8), (5, 8), (5, 8)]
    """

    def __init__(self, rng: np.random.Generator, d: int, m: int, degree: int) -> None:
        self.m = m
        self.counts = []
        for _ in range(degree):
            count = np.zeros((d, m))
            count[np.arange(d), rng.integers(0, m, d)] = signs(rng, d)
            self.counts.append(Constant(count))

    def __call__(self, x: Array) -> list[Array]:
        """U_0, ..., U_q of ``[n, d]``, each ``[n, m]``."""
        xp = array_namespace(x)
        one = xp.zeros_like(matmul(x, Constant(np.zeros((x.shape[-1], self.m)))))
        first = Constant(np.eye(1, self.m)[0]).like(x)
        powers, spectrum = [one + first], None
        for count in self.counts:
            factor = xp.fft.rfft(matmul(x, count), axis=-1)
            spectrum = factor if spectrum is None else spectrum * factor
            powers.append(xp.fft.irfft(spectrum, n=self.m, axis=-1))
        return powers
