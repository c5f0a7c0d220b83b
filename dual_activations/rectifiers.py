r"""Piecewise linear through the origin: the arc-cosine kernels of degree 0 and 1."""

from dataclasses import dataclass, field
from math import pi

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import angle
from .parameters import freeze, real


@dataclass(frozen=True)
class ABRelu(Activation):
    r"""f(x) = a min(x, 0) + b max(x, 0).

    With theta the angle between the two vectors and g = (a - b)^2 / 2 pi,

    .. math::
        k = g \sqrt{pq - c^2} + \dot k c, \qquad \dot k = (a^2 + b^2)/2 - g \theta.

    Reference: Cho & Saul 2009, eq. 6 (degrees 0 and 1); Tsuchida et al. 2018
    (1711.09090) for the leaky form.

    >>> import numpy as np
    >>> float(ABRelu(2.0, 2.0).value(*np.asarray([3.0, 4.0, 1.5])))  # 4 c, as 2 x
    6.0
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(self, a=real(name, "a", self.a), b=real(name, "b", self.b))

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
    r"""f(x) = max(x, 0): ``ABRelu(0, 1)``, with derivative dual (pi - theta) / 2 pi.

    Reference: Cho & Saul 2009, eq. 6.

    >>> import numpy as np
    >>> float(Relu().value(*np.asarray([2.0, 2.0, 2.0])))  # p / 2 on the diagonal
    1.0
    """

    a: float = field(default=0.0, init=False, repr=False)
    b: float = field(default=1.0, init=False, repr=False)


@dataclass(frozen=True)
class LeakyRelu(ABRelu):
    r"""f(x) = alpha min(x, 0) + max(x, 0): ``ABRelu(alpha, 1)``.

    Reference: Tsuchida et al. 2018 (1711.09090).

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> bool(LeakyRelu(0.0).value(p, q, c) == Relu().value(p, q, c))
    True
    """

    a: float = field(init=False, repr=False)
    b: float = field(default=1.0, init=False, repr=False)
    alpha: float

    def __post_init__(self) -> None:
        alpha = real("LeakyRelu", "alpha", self.alpha)
        freeze(self, a=alpha, alpha=alpha)


@dataclass(frozen=True)
class Abs(ABRelu):
    r"""f(x) = |x|: ``ABRelu(-1, 1)``.

    Reference: Tsuchida et al. 2018 (1711.09090); |x| = relu(x) + relu(-x).

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> halves = 2 * Relu().value(p, q, c) + 2 * Relu().value(p, q, -c)
    >>> bool(np.isclose(Abs().value(p, q, c), halves))
    True
    """

    a: float = field(default=-1.0, init=False, repr=False)
    b: float = field(default=1.0, init=False, repr=False)
