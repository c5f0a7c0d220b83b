r"""Piecewise linear through the origin: the arc-cosine kernels of degree 0 and 1."""

from dataclasses import dataclass, field
from math import pi

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import angle


@dataclass(frozen=True)
class ABRelu(Activation):
    r"""f(x) = a min(x, 0) + b max(x, 0).

    With theta the angle between the two vectors and g = (a - b)^2 / 2 pi,

    .. math::
        k = g \sqrt{pq - c^2} + \dot k c, \qquad \dot k = (a^2 + b^2)/2 - g \theta.

    Reference: Cho & Saul 2009, eq. 6 (degrees 0 and 1); Tsuchida et al. 2018
    (1711.09090) for the leaky form.
    """

    a: float
    b: float

    def __call__(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.where(x > 0, self.b * x, self.a * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        g = (self.a - self.b) ** 2 / (2 * pi)
        theta, sine = angle(p, q, c)
        slope = (self.a**2 + self.b**2) / 2 - g * theta
        return g * sine + slope * c, slope

    def variance(self, p: Array) -> Array:
        return (self.a**2 + self.b**2) / 2 * p


@dataclass(frozen=True)
class Relu(ABRelu):
    """f(x) = max(x, 0)."""

    a: float = field(default=0.0, init=False)
    b: float = field(default=1.0, init=False)
