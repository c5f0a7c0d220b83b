r"""The Gaussian error linear unit x Phi(x), and x Phi(b x)."""

from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import shifted_determinant
from .parameters import freeze, real
from .special import ndtr


@dataclass(frozen=True)
class ScaledGelu(Activation):
    r"""f(x) = x Phi(b x), with Phi the normal distribution function; b = 1.702 is close
    to x sigmoid(x).

    With P = b^2 p, Q = b^2 q, C = b^2 c, D = 1 + P + Q + P Q - C^2 and the angle
    theta = atan2(sqrt(D), C),

    .. math::
        k = \frac{1}{2 \pi} \left[ c (\pi - \theta)
          + \frac{b^2}{\sqrt D} \frac{c}{1 + P} \frac{c}{1 + Q}
          + b^2 \sqrt D \frac{p}{1 + P} \frac{q}{1 + Q} \right], \\
        \dot k = \frac{1}{2 \pi} \left[ \pi - \theta + \frac{C}{\sqrt D} \left(
          \frac1D + \frac1{1 + P} + \frac1{1 + Q} \right) \right].

    Reference: Tsuchida et al. 2020 (2002.08517), the GELU kernel (b = 1), rearranged so
    that nothing cancels or overflows.

    >>> import numpy as np
    >>> float(ScaledGelu(0.0).value(*np.asarray([2.0, 3.0, 1.0])))  # f = x / 2
    0.25
    """

    b: Any

    def __post_init__(self) -> None:
        freeze(self, b=real(type(self).__name__, "b", self.b))

    def __call__(self, x: Array) -> Array:
        return x * ndtr(self.b * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        xp = array_namespace(p, q, c)
        b2 = self.b**2
        p1, q1 = 1 + b2 * p, 1 + b2 * q
        det, _ = shifted_determinant(b2, p, q, c)
        root = xp.sqrt(det)
        arc = pi - xp.atan2(root, b2 * c)
        curved = (c / p1) * (c / q1) / root + (p / p1) * (q / q1) * root
        slope = b2 * (c / root) * (1 / det + 1 / p1 + 1 / q1)
        return (c * arc + b2 * curved) / (2 * pi), (arc + slope) / (2 * pi)


@dataclass(frozen=True)
class Gelu(ScaledGelu):
    r"""f(x) = x Phi(x), the Gaussian error linear unit.

    ``approximate=True`` changes the function alone, as used by finite networks, to
    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. It differs from x Phi(x) by less
    than 5e-4 everywhere, and the kernel is that of x Phi(x) in both cases.

    Reference: Tsuchida et al. 2020 (2002.08517), the GELU kernel.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> odd = Gelu().value(p, q, c) - Gelu().value(p, q, -c)
    >>> bool(np.isclose(odd, c / 2))  # f is x / 2 and an even function
    True
    """

    b: float = field(default=1.0, init=False, repr=False)
    approximate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.approximate, bool):
            raise TypeError(
                f"Gelu: approximate is {self.approximate!r}, expected True (the tanh "
                "form) or False"
            )

    def __call__(self, x: Array) -> Array:
        if not self.approximate:
            return x * ndtr(x)
        inner = sqrt(2 / pi) * (x + 0.044715 * x * x * x)
        return x * (1 + array_namespace(x).tanh(inner)) / 2
