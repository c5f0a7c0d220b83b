r"""The exponential and the hyperbolic functions, whose duals grow without bound."""

from dataclasses import dataclass
from math import log
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .parameters import freeze, real
from .parity import magnitude, times_cosh, times_sinh


@dataclass(frozen=True)
class Exp(Activation):
    r"""f(x) = a e^{b x}.

    .. math::
        k = a^2 e^{b^2 ((p + q) / 2 + c)}, \qquad \dot k = b^2 k.

    The moment of a log-normal variable. It overflows, to infinity, where the exponent
    is above 88 in float32 and 709 in float64: b^2 p > 44 and 354 on the diagonal.

    Reference: Choromanski et al. 2021 (2009.14794), lemma 1, without the normalisation.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> both = Sinh().value(p, q, c) + Cosh().value(p, q, c)
    >>> bool(np.isclose(Exp().value(p, q, c), both))
    True
    """

    a: Any = 1.0
    b: Any = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(self, a=real(name, "a", self.a), b=real(name, "b", self.b))

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).exp(self.b * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        exponent = self.b**2 * ((p + q) / 2 + c)
        return self.a**2 * array_namespace(exponent).exp(exponent)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        value = self.value(p, q, c)
        return value, self.b**2 * value


@dataclass(frozen=True)
class Sinh(Activation):
    r"""f(x) = a sinh(b x).

    .. math::
        k = a^2 e^{b^2 (p + q) / 2} \sinh(b^2 c), \qquad
        \dot k = a^2 b^2 e^{b^2 (p + q) / 2} \cosh(b^2 c).

    It overflows where ``Exp`` does, except that k is 0 where c is 0.

    Reference: the odd part of ``Exp``.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> bool(np.isclose(Sinh().value(p, q, c), np.exp((p + q) / 2) * np.sinh(c)))
    True
    """

    a: Any = 1.0
    b: Any = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(self, a=real(name, "a", self.a), b=real(name, "b", self.b))

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).sinh(self.b * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.a**2 * _sinh(self.b**2, p, q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.a**2 * self.b**2 * _cosh(self.b**2, p, q, c)


@dataclass(frozen=True)
class Cosh(Sinh):
    r"""f(x) = a cosh(b x).

    .. math::
        k = a^2 e^{b^2 (p + q) / 2} \cosh(b^2 c), \qquad
        \dot k = a^2 b^2 e^{b^2 (p + q) / 2} \sinh(b^2 c).

    It overflows where ``Exp`` does, except that the derivative is 0 where c is 0.

    Reference: the even part of ``Exp``.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> bool(Cosh().derivative(p, q, c) == Sinh().value(p, q, c))
    True
    """

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).cosh(self.b * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.a**2 * _cosh(self.b**2, p, q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.a**2 * self.b**2 * _sinh(self.b**2, p, q, c)


def _cosh(b2: Any, p: Array, q: Array, c: Array) -> Array:
    """e^{b^2 (p + q) / 2} cosh(b^2 c)."""
    exponent = b2 * ((p + q) / 2 + magnitude(c))
    return times_cosh(array_namespace(exponent).exp(exponent), b2 * c)


def _sinh(b2: Any, p: Array, q: Array, c: Array) -> Array:
    """e^{b^2 (p + q) / 2} sinh(b^2 c)."""
    exponent = b2 * ((p + q) / 2 + magnitude(c))
    xp = array_namespace(exponent)
    # 0 times an overflow is 0 here: sinh(b^2 c) vanishes exactly.
    largest = xp.full_like(exponent, log(xp.finfo(exponent.dtype).max) - 1)
    exponent = xp.where((c == 0) & (exponent > largest), largest, exponent)
    return times_sinh(xp.exp(exponent), b2 * c)
