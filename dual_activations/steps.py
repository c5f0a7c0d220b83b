r"""Functions of the sign alone: the arc-cosine kernel of degree 0."""

from dataclasses import dataclass
from math import pi

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import angle


def heaviside(x: Array) -> Array:
    """1 for x > 0, 1/2 at 0, 0 for x < 0."""
    return (array_namespace(x).sign(x) + 1) / 2


@dataclass(frozen=True)
class Step(Activation):
    r"""f(x) = 1 for x > 0, 1/2 at 0, 0 for x < 0.

    .. math::
        k = (\pi - \theta) / 2 \pi, \qquad \dot k = 0,

    the dual of the derivative almost everywhere: f has no derivative that the NTK could
    use. A zero row has k = 1/4.

    Reference: Cho & Saul 2009, eq. 6 (degree 0).

    >>> import numpy as np
    >>> float(Step().value(*np.asarray([1.0, 4.0, 2.0])))
    0.5
    """

    def __call__(self, x: Array) -> Array:
        return heaviside(x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return (pi - angle(p, q, c)[0]) / (2 * pi)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return array_namespace(c).zeros_like(c)


@dataclass(frozen=True)
class Sign(Activation):
    r"""f(x) = sign(x), with sign(0) = 0.

    .. math::
        k = \frac2\pi \arcsin\rho = 1 - 2 \theta / \pi, \qquad \dot k = 0,

    the dual of the derivative almost everywhere, as for ``Step``. A zero row has k = 0.

    Reference: Cho & Saul 2009, eq. 6 (degree 0); sign = 2 Step - 1.

    >>> import numpy as np
    >>> float(Sign().value(*np.asarray([1.0, 4.0, -2.0])))
    -1.0
    """

    def __call__(self, x: Array) -> Array:
        return array_namespace(x).sign(x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return 1 - (2 / pi) * angle(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return array_namespace(c).zeros_like(c)
