"""Hermite coefficients of an activation and of its derivative, at every norm."""

from dataclasses import dataclass, replace
from functools import singledispatch
from math import exp, factorial
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import ABRelu, Activation, ExpNormalized, Gelu
from ..dual_activations.backends import backend_of
from ..dual_activations.hermite import hermite_coefficients
from .slopes import slope

Array = Any


@singledispatch
def coefficients(activation: Activation, s: Array, degree: int) -> tuple[Array, Array]:
    r"""c_l(s) and d_l(s), ``[..., degree + 1]`` each, with

    .. math::
        k(p, q, c) = \sum_l c_l(\sqrt p) c_l(\sqrt q) \rho^l, \qquad
        \dot k(p, q, c) = \sum_l d_l(\sqrt p) d_l(\sqrt q) \rho^l.

    They may be negative: only products of two appear, and no root is taken.

    Args:
        activation: f; c_l(s) = E[f(s g) h_l(g)], and d_l(s) likewise with f'.
        s: norms ``[...]``, >= 0.
        degree: the largest l, which is included.

    Reference: Daniely et al. 2016 (1602.05897), section 4.2, for s = 1.

    >>> from ..dual_activations import Relu
    >>> c, d = coefficients(Relu(), np.asarray(2.0), 1)
    >>> [round(float(v), 12) for v in (c[1], d[0])]  # E[f'(2 g)] is one half
    [1.0, 0.5]
    """
    # The quadrature behind them is made for double precision.
    wide = backend_of(s).double(s)
    c = hermite_coefficients(activation, wide, degree)
    d = hermite_coefficients(_Slope(activation), wide, degree)
    xp = array_namespace(s)
    return xp.astype(c, s.dtype), xp.astype(d, s.dtype)


@coefficients.register
def _(activation: Gelu, s: Array, degree: int) -> tuple[Array, Array]:
    # The kernel is that of the exact function also where f approximates it.
    exact = replace(activation, approximate=False)
    return coefficients.dispatch(Activation)(exact, s, degree)


@coefficients.register
def _(activation: ABRelu, s: Array, degree: int) -> tuple[Array, Array]:
    one = np.asarray(1.0)
    c, d = coefficients.dispatch(Activation)(activation, one, degree)
    return _homogeneous(s, c, d)


@coefficients.register
def _(activation: ExpNormalized, s: Array, degree: int) -> tuple[Array, Array]:
    gamma, shift = float(activation.gamma), float(activation.shift)
    taylor = [gamma**n / factorial(n) for n in range(degree + 1)]
    c = (exp(gamma * shift) * np.asarray(taylor)) ** 0.5
    return _homogeneous(s, c, gamma**0.5 * c)


def _homogeneous(s: Array, c: np.ndarray, d: np.ndarray) -> tuple[Array, Array]:
    """Coefficients of a kernel that is sqrt(p q) times one of the angle."""
    constant = backend_of(s).constant
    c, d = (constant(a, s) + 0 * s[..., None] for a in (c, d))
    return s[..., None] * c, d


@dataclass(frozen=True)
class _Slope:
    """f' as a function, with the kinks of f."""

    activation: Activation

    @property
    def kinks(self) -> tuple[float, ...]:
        return tuple(getattr(self.activation, "kinks", ()))

    def __call__(self, x: Array) -> Array:
        return slope(self.activation, x)
