r"""Smooth saturating activations at every norm: Tanh, Sigmoid, Softplus, Silu, Mish.

None has a closed form, but each is a mixture of functions that do have one
(``gaussian_mixture.py``): of normal distribution functions, of their integrals, or of x
times them. The dual is a double sum over the mixture: the exact dual of a function that
equals f to a uniform 1e-10. As the difference oscillates, it equals the dual of f to
rounding, at every norm and correlation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import numpy as np
from array_api_compat import array_namespace

from .backends import backend_of
from .base import Activation, Array
from .gaussian_mixture import logistic_mixture, mish_mixture
from .moments import signed_determinant


class SmoothActivation(Activation):
    """f with a mixture; a subclass has ``slope``, f'(x), and ``value_and_derivative``.

    In float32 fewer terms are summed, to 1e-8 (Mish: 5e-8).
    """

    def slope(self, x: Array) -> Array:
        """f'(x), elementwise."""
        raise NotImplementedError

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]


@dataclass(frozen=True)
class Tanh(SmoothActivation):
    r"""f(x) = tanh(x) = sum_i w_i (2 Phi(2 x / tau_i) - 1).

    With a_i = tau_i^2 / 4 and D_ij = (p + a_i)(q + a_j) - c^2,

    .. math::
        k = \frac2\pi \sum_{ij} w_i w_j \arctan\frac{c}{\sqrt{D_{ij}}}, \qquad
        \dot k = \frac2\pi \sum_{ij} \frac{w_i w_j}{\sqrt{D_{ij}}}.

    Reference: Williams 1997, eq. 11, for each pair; Stefanski 1991 for the mixture.

    >>> one = np.asarray(1.0)
    >>> float(np.round(Tanh().value(one, one, -one), 10))  # -E tanh(g)^2
    -0.3942944904
    """

    def __call__(self, x: Array) -> Array:
        return array_namespace(x).tanh(x)

    def slope(self, x: Array) -> Array:
        return 1 - array_namespace(x).tanh(x) ** 2

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        w, tau = _logistic(p)
        return _double_sum(_step_pair, w, tau**2 / 4, p, q, c)


@dataclass(frozen=True)
class Sigmoid(SmoothActivation):
    r"""f(x) = 1 / (1 + e^{-x}) = (1 + tanh(x / 2)) / 2.

    .. math::
        k(p, q, c) = \frac14 \left[ 1 + k_{\tanh}(p/4, q/4, c/4) \right].

    Reference: as for ``Tanh``.

    >>> zero = np.asarray(0.0)
    >>> float(Sigmoid().value(zero, zero, zero))
    0.25
    """

    def __call__(self, x: Array) -> Array:
        return _sigmoid(x)

    def slope(self, x: Array) -> Array:
        return _sigmoid(x) * _sigmoid(-x)

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        w, tau = _logistic(p)
        value, slope = _double_sum(_step_pair, w, tau**2, p, q, c)
        return (1 + value) / 4, slope / 4


@dataclass(frozen=True)
class Softplus(SmoothActivation):
    r"""f(x) = log(1 + e^x) = sum_i w_i E_g[(x + tau_i g)_+].

    With a_i = tau_i^2, D_ij = (p + a_i)(q + a_j) - c^2 and the angle
    theta_ij = atan2(sqrt(D_ij), c),

    .. math::
        k = \frac{1}{2\pi} \sum_{ij} w_i w_j \left[
            \sqrt{D_{ij}} + (\pi - \theta_{ij}) c \right], \qquad
        \dot k = \frac{1}{2\pi} \sum_{ij} w_i w_j (\pi - \theta_{ij}) = k_{\sigma}.

    Reference: Cho & Saul 2009, eq. 6 (degree 1), for each pair of independently blurred
    inputs; Stefanski 1991 for the mixture.

    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> slope = Softplus().derivative(p, q, c) - Sigmoid().value(p, q, c)
    >>> bool(abs(slope) < 1e-12)
    True
    """

    def __call__(self, x: Array) -> Array:
        xp = array_namespace(x)
        positive = xp.where(x > 0, x, xp.zeros_like(x))
        return positive + xp.log1p(xp.exp(x - 2 * positive))

    def slope(self, x: Array) -> Array:
        return _sigmoid(x)

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        w, tau = _logistic(p)
        return _double_sum(_hinge_pair, w, tau**2, p, q, c)


@dataclass(frozen=True)
class Silu(SmoothActivation):
    r"""f(x) = x / (1 + e^{-x}) = sum_i w_i x Phi(x / tau_i), also named swish.

    With a_i, D_ij as for ``Softplus``, P_i = p + a_i, Q_j = q + a_j and
    t_ij = arctan(c / sqrt(D_ij)),

    .. math::
        k = \frac c4 + \frac{1}{2\pi} \sum_{ij} w_i w_j \left[ c t_{ij} + \frac{
            p q \sqrt{D_{ij}} + c^2 a_i a_j / \sqrt{D_{ij}}}{P_i Q_j} \right].

    Reference: Tsuchida et al. 2020 (2002.08517), the GELU kernel, here with two
    different scales; Stefanski 1991 for the mixture.

    >>> p, q, c = np.asarray([2.0, 3.0, 0.5])
    >>> odd = Silu().value(p, q, c) - Silu().value(p, q, -c)
    >>> float(np.round(odd, 12))  # f is x / 2 and an even function
    0.25
    """

    def __call__(self, x: Array) -> Array:
        return x * _sigmoid(x)

    def slope(self, x: Array) -> Array:
        return _sigmoid(x) * (1 + x * _sigmoid(-x))

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        w, tau = _logistic(p)
        value, slope = _double_sum(_gate_pair, w, tau**2, p, q, c)
        return c / 4 + value, 0.25 + slope


@dataclass(frozen=True)
class Mish(SmoothActivation):
    r"""f(x) = x tanh(log(1 + e^x)).

    The even part of f is a sum of x (Phi(x / tau_i) - 1/2), as for ``Silu``, and the
    odd part a sum of x exp(-x^2 / 2 tau_j^2) with x / 2 as one more, tau = infinity.
    With L_i = 1 / tau_i^2 and d_ij = (1 + L_i p)(1 + L_j q) - L_i L_j c^2, a pair of
    the latter has

    .. math::
        k_{ij} = c \, d_{ij}^{-3/2}, \qquad
        \dot k_{ij} = d_{ij}^{-3/2} + 3 L_i L_j c^2 d_{ij}^{-5/2}.

    Reference: Misra 2019 (1908.08681) for f; the kernel is derived here.

    >>> one = np.asarray(1.0)
    >>> total = Mish().value(one, one, one) + Mish().value(one, one, -one)
    >>> bool(total > 0)  # twice the even part of f, squared
    True
    """

    def __call__(self, x: Array) -> Array:
        return x * array_namespace(x).tanh(Softplus()(x))

    def slope(self, x: Array) -> Array:
        gate = array_namespace(x).tanh(Softplus()(x))
        return gate + x * (1 - gate**2) * _sigmoid(x)

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        a, b, tau = mish_mixture(14 if _single(p) else 24)
        even = _double_sum(_gate_pair, a, tau**2, p, q, c)
        weights, rates = np.append(b, 0.5), np.append(tau**-2, 0.0)
        odd = _double_sum(_bump_pair, weights, rates, p, q, c)
        return even[0] + odd[0], even[1] + odd[1]


def _double_sum(
    term: Callable,
    weights: np.ndarray,
    scales: np.ndarray,
    p: Array,
    q: Array,
    c: Array,
) -> tuple[Array, Array]:
    """sum_ij w_i w_j term(scale_i, scale_j, p, q, c, p q - c^2): value and slope."""
    i, j = np.indices((weights.size, weights.size)).reshape(2, -1)
    both = weights[i] * weights[j]
    counts = np.abs(both) > 1e-17
    rows = np.stack([both, scales[i], scales[j]], axis=-1)[counts]
    backend = backend_of(p)
    det = signed_determinant(p, q, c)
    return backend.total(term, backend.constant(rows, p), (p, q, c, det))


def _step_pair(row: Array, p: Array, q: Array, c: Array, det: Array) -> tuple:
    xp = array_namespace(c)
    root = _root(row, p, q, det)
    weight = (2 / pi) * row[0]
    return weight * xp.atan2(c, root), weight / root


def _hinge_pair(row: Array, p: Array, q: Array, c: Array, det: Array) -> tuple:
    xp = array_namespace(c)
    root = _root(row, p, q, det)
    weight = row[0] / (2 * pi)
    angle = xp.atan2(root, -c)
    return weight * (root + angle * c), weight * angle


def _gate_pair(row: Array, p: Array, q: Array, c: Array, det: Array) -> tuple:
    xp = array_namespace(c)
    a, b = row[1], row[2]
    root = _root(row, p, q, det)
    weight = row[0] / (2 * pi)
    t = xp.atan2(c, root)
    # Ratios first: products of four variances overflow.
    pa, qb = p + a, q + b
    cc = a * b * (c / pa) * (c / qb) / root
    value = c * t + (p / pa) * (q / qb) * root + cc
    turn = a / pa + (p / pa) * (b / qb) + 2 * (a / pa) * (b / qb) + cc / root
    return weight * value, weight * (t + (c / root) * turn)


def _bump_pair(row: Array, p: Array, q: Array, c: Array, det: Array) -> tuple:
    xp = array_namespace(c)
    a, b = row[1], row[2]
    linear = 1 + a * p + b * q
    curved = a * b * det
    d = linear + xp.where(curved > -linear / 2, curved, xp.zeros_like(curved))
    root = 1 / xp.sqrt(d)
    power = row[0] * root * root * root
    return c * power, power * (1 + 3 * a * b * (c / d) * c)


def _root(row: Array, p: Array, q: Array, det: Array) -> Array:
    """sqrt((p + a)(q + b) - c^2). A det that rounding made negative is kept, with its
    gradient, unless it is large enough to spoil the sum."""
    xp = array_namespace(det)
    a, b = row[1], row[2]
    rest = a * q + b * p + a * b
    return xp.sqrt(rest + xp.where(det > -rest / 2, det, xp.zeros_like(det)))


def _logistic(p: Array) -> tuple[np.ndarray, np.ndarray]:
    return logistic_mixture(7 if _single(p) else 14)


def _single(p: Array) -> bool:
    return array_namespace(p).finfo(p.dtype).bits == 32


def _sigmoid(x: Array) -> Array:
    # tanh neither overflows nor loses small values of f.
    xp = array_namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x > 0, 1 / (1 + e), e / (1 + e))
