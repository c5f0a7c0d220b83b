r"""Sines: random Fourier features of the Gaussian (RBF) kernel."""

from dataclasses import dataclass
from math import pi
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .parameters import cosine_and_sine, freeze, nonnegative, real
from .parity import spread, times_cosh, times_sinh


@dataclass(frozen=True)
class Sin(Activation):
    r"""f(x) = a sin(b x + c).

    With E = e^{-b^2 (p + q) / 2}, and cos^2, sin^2 of the phase c,

    .. math::
        k = a^2 E [\sin^2 \cosh(b^2 c) + \cos^2 \sinh(b^2 c)], \qquad
        \dot k = a^2 b^2 E [\cos^2 \cosh(b^2 c) + \sin^2 \sinh(b^2 c)].

    Reference: Liao & Couillet 2018 (1805.11916), table 1 (a = b = 1).

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> both = Sin().value(p, q, c) + Cos().value(p, q, c)
    >>> bool(np.isclose(both, np.exp(-(p + q - 2 * c) / 2)))
    True
    """

    a: Any = 1.0
    b: Any = 1.0
    c: Any = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(self, **{f: real(name, f, getattr(self, f)) for f in "abc"})

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).sin(self.b * x + self.c)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        cosine, sine = cosine_and_sine(self.c)
        return self._mixed(sine**2, cosine**2, p, q, c)

    def _mixed(
        self, even: Any, odd: Any, p: Array, q: Array, c: Array
    ) -> tuple[Array, Array]:
        """Both duals of a function with weights ``even`` and ``odd`` on the squares of
        cos(b x) and sin(b x), which are each other's derivatives."""
        b2 = self.b**2
        near = -b2 / 2 * spread(p, q, c)
        top = array_namespace(near).exp(near)
        cosines, sines = times_cosh(top, b2 * c), times_sinh(top, b2 * c)
        value = self.a**2 * (even * cosines + odd * sines)
        return value, self.a**2 * b2 * (odd * cosines + even * sines)


@dataclass(frozen=True)
class Cos(Sin):
    r"""f(x) = a cos(b x + c) = a sin(b x + c + pi/2).

    Reference: Liao & Couillet 2018 (1805.11916), table 1 (a = b = 1).

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> bool(np.isclose(Cos().derivative(p, q, c), Sin().value(p, q, c)))
    True
    """

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).cos(self.b * x + self.c)

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        cosine, sine = cosine_and_sine(self.c)
        return self._mixed(cosine**2, sine**2, p, q, c)


@dataclass(frozen=True)
class Rbf(Activation):
    r"""f(x) = sqrt(2) sin(sqrt(2 gamma) x + pi/4), whose dual is the Gaussian kernel.

    .. math::
        k = e^{-\gamma (p + q - 2 c)}, \qquad \dot k = 2 \gamma k.

    Reference: Rahimi & Recht 2007, algorithm 1.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> bool(np.isclose(Rbf(0.7).value(p, q, c), np.exp(-0.7 * (p + q - 2 * c))))
    True
    """

    gamma: Any = 1.0

    def __post_init__(self) -> None:
        freeze(self, gamma=nonnegative("Rbf", "gamma", self.gamma))

    def __call__(self, x: Array) -> Array:
        phase = (2 * self.gamma) ** 0.5 * x + pi / 4
        return 2**0.5 * array_namespace(x).sin(phase)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        distance = (p - c) + (q - c)
        return array_namespace(distance).exp(-self.gamma * distance)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        value = self.value(p, q, c)
        return value, 2 * self.gamma * value
