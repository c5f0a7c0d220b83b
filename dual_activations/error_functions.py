r"""The error function, and the logistic function that it resembles."""

from dataclasses import dataclass, field
from math import pi
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import shifted_determinant
from .parameters import freeze, real
from .special import erf


@dataclass(frozen=True)
class Erf(Activation):
    r"""f(x) = a erf(b x) + c.

    With P = b^2 p, Q = b^2 q, C = b^2 c and D = 1 + 2 (P + Q) + 4 (P Q - C^2),

    .. math::
        k = \frac{2 a^2}{\pi} \arctan\frac{2 C}{\sqrt D} + c^2, \qquad
        \dot k = \frac{4 a^2 b^2}{\pi \sqrt D}.

    The arctangent is the arcsine of the reference, and all terms of D are positive.

    Reference: Williams 1996, eq. 11.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> arcsine = 2 / np.pi * np.arcsin(2 * c / np.sqrt((1 + 2 * p) * (1 + 2 * q)))
    >>> bool(np.isclose(Erf().value(p, q, c), arcsine))
    True
    """

    a: Any = 1.0
    b: Any = 1.0
    c: Any = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(self, **{f: real(name, f, getattr(self, f)) for f in "abc"})

    def __call__(self, x: Array) -> Array:
        return self.a * erf(self.b * x) + self.c

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        xp = array_namespace(p, q, c)
        b2 = self.b**2
        root = xp.sqrt(shifted_determinant(2 * b2, p, q, c)[0])
        arc = xp.atan2(2 * b2 * c, root)
        value = (2 / pi) * self.a**2 * arc + self.c**2
        return value, (4 / pi) * self.a**2 * b2 / root


@dataclass(frozen=True)
class Sigmoid_like(Erf):
    r"""f(x) = erf(x / 2.4020563531719796) / 2 + 1/2, close to the logistic sigmoid
    1 / (1 + e^{-x}): an ``Erf`` with a closed form, where ``Sigmoid`` needs a series.

    Reference: Williams 1996, eq. 11; the constants are those of neural-tangents.

    >>> import numpy as np
    >>> float(Sigmoid_like().value(*np.zeros(3)))  # sigmoid(0)^2
    0.25
    """

    a: float = field(default=0.5, init=False, repr=False)
    b: float = field(default=1 / 2.4020563531719796, init=False, repr=False)
    c: float = field(default=0.5, init=False, repr=False)
