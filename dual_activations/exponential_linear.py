r"""Linear above zero, exponential below: Elu, Selu, Celu."""

from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

from array_api_compat import array_namespace

from .base import Activation, Array
from .moments import angle, safe_divide, safe_sqrt
from .parameters import freeze, real
from .polar import SMALL, any_small, small_moments
from .wedge import mills_decline, mills_ratio, scaled_wedge


@dataclass(frozen=True)
class ExponentialLinear(Activation):
    r"""f(x) = a x for x > 0, b (e^{r x} - 1) for x < 0, with r > 0.

    For unit rate, with rho = cos(theta) and the Mills ratio M and the wedge B of
    ``wedge.py``, the moments over the quadrants are

    .. math::
        E[1(u, v > 0)] &= (\pi - \theta) / 2 \pi, \qquad
        E[u_+ v_+] = (\sqrt{pq} \sin\theta + (\pi - \theta) c) / 2 \pi, \\
        E[1(u > 0) e^v 1(v < 0)] &= M(\sqrt q) / \sqrt{8 \pi}
            - B(\sqrt q, \pi/2 - \theta) = P, \\
        E[u_+ (e^v - 1) 1(v < 0)] &= c P - \sqrt p \left[ M(0)
            - M(\sqrt q \sin\theta) \right] / 2 \pi, \\
        E[e^u 1(u, v < 0)] &= M(\sqrt p) / \sqrt{8 \pi} + B(\sqrt p, \pi/2 - \theta), \\
        E[e^{u + v} 1(u, v < 0)] &= B(R, \psi_u) + B(R, \psi_v),

    R^2 = p + q + 2c, tan psi_u = (sqrt p + rho sqrt q) / (sqrt q sin theta). Nothing
    overflows, at any norm. At small norms, where the moments of e^u - 1 are differences
    of these, they are integrated in polar coordinates (``polar.py``).

    Args:
        a: slope for x > 0.
        b: depth of the exponential.
        r: rate of the exponential, > 0.

    Reference: Tsuchida et al. 2020 (2002.08517) has k for the Elu in the bivariate
    normal distribution function; this form is derived from the same moments.

    >>> import numpy as np
    >>> f = ExponentialLinear(1.0, 0.5, 2.0)
    >>> p, q = np.asarray(1.3), np.asarray(0.4)
    >>> same = f.value(p, q, np.sqrt(p * q))  # rho = 1: a linear part, a constant, ...
    >>> bool(f.value(p, q, -np.sqrt(p * q)) < 0 < same)
    True
    """

    a: Any
    b: Any
    r: Any

    def __post_init__(self) -> None:
        owner = type(self).__name__
        freeze(self, **{n: real(owner, n, getattr(self, n)) for n in ("a", "b", "r")})
        if isinstance(self.r, float) and self.r <= 0:
            raise ValueError(f"{owner}: r is {self.r!r}, expected a number > 0")

    def __call__(self, x: Array) -> Array:
        xp = array_namespace(x)
        positive = x > 0
        below = xp.where(positive, xp.zeros_like(x), x)
        return xp.where(positive, self.a * x, self.b * xp.expm1(self.r * below))

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        # f(x) = g(r x) with slope a / r above zero.
        a, b, rr = self.a / self.r, self.b, self.r**2
        p, q, c = rr * p, rr * q, rr * c
        pair = _Pair(p, q, c)
        mixed_uv, step_uv, one_v = pair.opposite(p, q)
        mixed_vu, step_vu, one_u = pair.opposite(q, p)
        both = pair.both_negative()
        mixed, below = mixed_uv + mixed_vu, both - one_u - one_v + pair.same
        if any_small(p, q):
            mixed, below = _refined(p, q, pair.theta, mixed, below)
        value = a * a * pair.linear + a * b * mixed + b * b * below
        slope = a * a * pair.same + a * b * (step_uv + step_vu) + b * b * both
        return value, rr * slope


@dataclass(frozen=True)
class Elu(ExponentialLinear):
    r"""f(x) = x for x > 0, alpha (e^x - 1) for x < 0, the exponential linear unit.

    Reference: Clevert et al. 2016 (1511.07289); the kernel as for
    ``ExponentialLinear``.

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> from . import Relu
    >>> bool(np.isclose(Elu(0.0).value(p, q, c), Relu().value(p, q, c), rtol=1e-14))
    True
    """

    a: float = field(default=1.0, init=False, repr=False)
    b: float = field(default=1.0, init=False, repr=False)
    r: float = field(default=1.0, init=False, repr=False)
    alpha: Any = 1.0

    def __post_init__(self) -> None:
        alpha = real("Elu", "alpha", self.alpha)
        freeze(self, alpha=alpha, b=alpha)


@dataclass(frozen=True)
class Selu(ExponentialLinear):
    r"""f(x) = lambda x for x > 0, lambda alpha (e^x - 1) for x < 0, with the constants
    for which E[f(g)] = 0 and E[f(g)^2] = 1.

    Reference: Klambauer et al. 2017 (1706.02515), eq. 14.

    >>> import numpy as np
    >>> one, zero = np.asarray(1.0), np.asarray(0.0)
    >>> [float(np.round(Selu().value(one, one, c), 12) + 0) for c in (zero, one)]
    [0.0, 1.0]
    """

    a: float = field(default=1.0507009873554805, init=False, repr=False)
    b: float = field(
        default=1.0507009873554805 * 1.6732632423543772, init=False, repr=False
    )
    r: float = field(default=1.0, init=False, repr=False)


@dataclass(frozen=True)
class Celu(ExponentialLinear):
    r"""f(x) = x for x > 0, alpha (e^{x / alpha} - 1) for x < 0, with alpha > 0.

    Reference: Barron 2017 (1704.07483).

    >>> import numpy as np
    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> float(Celu(1.0).value(p, q, c) - Elu(1.0).value(p, q, c))
    0.0
    """

    a: float = field(default=1.0, init=False, repr=False)
    b: float = field(default=1.0, init=False, repr=False)
    r: float = field(default=1.0, init=False, repr=False)
    alpha: Any = 1.0

    def __post_init__(self) -> None:
        alpha = real("Celu", "alpha", self.alpha)
        if isinstance(alpha, float) and alpha <= 0:
            raise ValueError(f"Celu: alpha is {alpha!r}, expected a number > 0")
        freeze(self, alpha=alpha, b=alpha, r=1 / alpha)


class _Pair:
    """(u, v) ~ N(0, [[p, c], [c, q]]), its angle and its moments over quadrants."""

    def __init__(self, p: Array, q: Array, c: Array) -> None:
        xp = array_namespace(p, q, c)
        self.u, self.v, self.c = safe_sqrt(p), safe_sqrt(q), c
        self.theta, sine = angle(p, q, c)
        # pi - theta would have lost the digits of a small supplement.
        supplement, _ = angle(p, q, -c)
        self.same = supplement / (2 * pi)
        self.linear = sine / (2 * pi) + self.same * c
        uv = self.u * self.v
        one = xp.ones_like(uv + c)
        self.cos = safe_divide(c, uv)
        self.sin = xp.where(uv > 0, safe_divide(sine, uv), one)
        obtuse = self.cos < 0
        acute = 1 - xp.where(obtuse, self.cos, -self.cos)
        # Of nearly opposite vectors, 1 + cos is only consistent with sin like this.
        self.one_plus_cos = xp.where(obtuse, self.sin**2 / acute, 1 + self.cos)

    def opposite(self, p: Array, q: Array) -> tuple[Array, Array, Array]:
        """E[u_+ (e^v - 1) 1(v < 0)], E[1(u > 0) e^v 1(v < 0)] and E[e^v 1(u, v < 0)].

        The variances are p and q in the order of u and v.
        """
        u, v = safe_sqrt(p), safe_sqrt(q)
        half = mills_ratio(v) / sqrt(8 * pi)
        wedge = scaled_wedge(v, self.cos, self.sin)
        step = half - wedge
        decline = mills_decline(v * self.sin) / (2 * pi)
        return self.c * step - u * decline, step, half + wedge

    def both_negative(self) -> Array:
        """E[e^{u + v} 1(u, v < 0)]."""
        u, v = self.u, self.v
        along_u, along_v = (
            (u - v) + v * self.one_plus_cos,
            (v - u) + u * self.one_plus_cos,
        )
        r = safe_sqrt(along_u**2 + (v * self.sin) ** 2)
        both = scaled_wedge(r, safe_divide(along_u, r), safe_divide(v * self.sin, r))
        both = both + scaled_wedge(
            r, safe_divide(along_v, r), safe_divide(u * self.sin, r)
        )
        return array_namespace(r).where(r > 0, both, self.same)


def _refined(
    p: Array, q: Array, theta: Array, mixed: Array, below: Array
) -> tuple[Array, Array]:
    """The two moments, replaced where both variances are small."""
    xp = array_namespace(p, q, theta)
    small = (p < SMALL) & (q < SMALL)
    safe_p, safe_q = (xp.where(v < SMALL, v, xp.ones_like(v)) for v in (p, q))
    exact = small_moments(safe_p, safe_q, theta)
    return tuple(
        xp.where(small, e, m) for e, m in zip(exact, (mixed, below), strict=True)
    )
