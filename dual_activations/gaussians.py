r"""Gaussians, and sines under a Gaussian envelope (Gabor functions)."""

from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import shifted_determinant
from .parameters import cosine_and_sine, freeze, nonnegative, real
from .parity import spread, times_cosh, times_sinh


@dataclass(frozen=True)
class Gaussian(Activation):
    r"""f(x) = a e^{b x^2}, b <= 0.

    With D = 1 - 2 b (p + q) + 4 b^2 (p q - c^2), a sum of positive terms,

    .. math::
        k = a^2 D^{-1/2}, \qquad \dot k = 4 a^2 b^2 c D^{-3/2}.

    Reference: Williams 1996, section 3.

    >>> import numpy as np
    >>> float(Gaussian(a=3.0).value(*np.zeros(3)))  # f(0)^2
    9.0
    """

    a: Any = 1.0
    b: Any = -1.0

    def __post_init__(self) -> None:
        a, b = real("Gaussian", "a", self.a), real("Gaussian", "b", self.b)
        if isinstance(b, float) and b > 0:
            raise ValueError(
                f"Gaussian: b is {b!r}, expected a number <= 0; the expectation of "
                "e^{2 b x^2} is infinite from variance 1 / 4b on"
            )
        freeze(self, a=a, b=b)

    def __call__(self, x: Array) -> Array:
        return self.a * array_namespace(x).exp(self.b * x * x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        d, _ = shifted_determinant(-2 * self.b, p, q, c)
        value = self.a**2 / array_namespace(d).sqrt(d)
        return value, 4 * self.b**2 * (c / d) * value


@dataclass(frozen=True)
class DampedSin(Activation):
    r"""f(x) = e^{-alpha x^2} sin(beta x + phi), alpha >= 0.

    With S = p + q, delta = p q - c^2, D = 1 + 2 alpha S + 4 alpha^2 delta and
    E = D^{-1/2} e^{-beta^2 (S + 4 alpha delta) / 2 D}, the even and the odd part have

    .. math::
        k_c = E \cosh(\beta^2 c / D), \qquad k_s = E \sinh(\beta^2 c / D), \\
        \dot k_c = H c k_c + M k_s, \qquad \dot k_s = H c k_s + M k_c, \\
        H = \frac{4 \alpha}{D} \left( \alpha + \beta^2 \frac{1 + \alpha S}{D} \right),
        \qquad
        M = \frac{\beta^2}{D} \left( 1 + \frac{8 \alpha^2 c^2}{D} \right),

    and k = sin^2(phi) k_c + cos^2(phi) k_s. All terms of D, H and M are positive.

    Reference: the Gaussian integral of e^{-alpha (u^2 + v^2) + i beta (u -+ v)};
    alpha = 0 is ``Sin``, beta = 0 and phi = pi/2 ``Gaussian``.

    >>> import numpy as np
    >>> from .trigonometric import Sin
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> damped = DampedSin(alpha=0.0, beta=0.8, phi=0.3).value(p, q, c)
    >>> bool(np.isclose(damped, Sin(1.0, 0.8, 0.3).value(p, q, c)))
    True
    """

    alpha: Any = 1.0
    beta: Any = 1.0
    phi: Any = 0.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        freeze(
            self,
            alpha=nonnegative(name, "alpha", self.alpha),
            beta=real(name, "beta", self.beta),
            phi=real(name, "phi", self.phi),
        )

    def __call__(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.exp(-self.alpha * x * x) * xp.sin(self.beta * x + self.phi)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        alpha, beta2 = self.alpha, self.beta**2
        d, det = shifted_determinant(2 * alpha, p, q, c)
        near = -beta2 / 2 * (spread(p, q, c) + 4 * alpha * det) / d
        xp = array_namespace(d)
        top = xp.exp(near) / xp.sqrt(d)
        cosines, sines = (f(top, beta2 * c / d) for f in (times_cosh, times_sinh))

        h = 4 * alpha * (c / d) * (alpha + beta2 * (1 + alpha * (p + q)) / d)
        m = beta2 / d * (1 + 8 * alpha**2 * c * (c / d))
        cosine, sine = cosine_and_sine(self.phi)
        even, odd = sine**2, cosine**2
        value = even * cosines + odd * sines
        slope = even * (h * cosines + m * sines) + odd * (h * sines + m * cosines)
        return value, slope


@dataclass(frozen=True)
class Gabor(DampedSin):
    r"""f(x) = e^{-x^2} sin(x): ``DampedSin(1, 1, 0)``.

    Reference: as ``DampedSin``.

    >>> import numpy as np
    >>> float(Gabor().derivative(*np.zeros(3)))  # f'(0)^2
    1.0
    """

    alpha: float = field(default=1.0, init=False, repr=False)
    beta: float = field(default=1.0, init=False, repr=False)
    phi: float = field(default=0.0, init=False, repr=False)
