"""Functions of w . u whose products have an activation's duals as expectations."""

from dataclasses import dataclass, replace
from functools import singledispatch
from math import exp, pi
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import ABRelu, Activation, ExpNormalized, Gelu
from ..dual_activations.backends import backend_of
from ..dual_activations.moments import safe_divide, safe_sqrt
from .directions import directions
from .slopes import slope

Array = Any


@dataclass(frozen=True)
class RandomFunctions:
    r"""m random functions r, s with E[r(u) r(u')] = k and E[s(u) s(u')] = k_dot.

    For an activation f they are f(w . u) and f'(w . u) with random directions w.

    Args:
        activation: f.
        w: directions, ``[d, m]``.
    """

    activation: Activation
    w: np.ndarray

    def value(self, t: Array, p: Array) -> Array:
        """r, given t = u w ``[..., m]`` and p = |u|^2 ``[..., 1]``."""
        return self.activation(t)

    def slope(self, t: Array, p: Array) -> Array:
        """s, likewise."""
        return slope(self.activation, t)


@dataclass(frozen=True)
class RandomCosines(RandomFunctions):
    r"""The same for the normalised Gaussian kernel, which has no f: random Fourier
    features on the sphere,

    .. math::
        r(u) = |u| \, a \sqrt2 \cos(\sqrt\gamma \, w \cdot u / |u| + b), \qquad
        a^2 = e^{\gamma (1 + \mathrm{shift})}.

    Reference: Rahimi & Recht 2007, algorithm 1.

    Args:
        phase: b, ``[m]``.
    """

    phase: np.ndarray

    def value(self, t: Array, p: Array) -> Array:
        return safe_sqrt(p) * self._cosine(t, p)

    def slope(self, t: Array, p: Array) -> Array:
        return self.activation.gamma**0.5 * self._cosine(t, p)

    def _cosine(self, t: Array, p: Array) -> Array:
        xp = array_namespace(t)
        gamma, shift = self.activation.gamma, self.activation.shift
        phase = backend_of(t).constant(self.phase, t)
        angle = gamma**0.5 * safe_divide(t, safe_sqrt(p) + 0 * t)
        return 2**0.5 * exp(gamma * (1 + shift) / 2) * xp.cos(angle + phase)


@singledispatch
def random_functions(
    activation: Any, rng: np.random.Generator, d: int, m: int, gaussian: bool = False
) -> RandomFunctions:
    """m random functions of vectors of d features, unbiased for both duals.

    Args:
        gaussian: whether the directions must be N(0, I) each, as they must be to
            subtract Hermite polynomials of w . u.
    """
    paired = _mixed_parity(activation) and not gaussian
    return RandomFunctions(activation, directions(rng, d, m, False, paired))


@random_functions.register
def _(
    activation: ABRelu, rng: Any, d: int, m: int, gaussian: bool = False
) -> RandomFunctions:
    paired = _mixed_parity(activation) and not gaussian
    return RandomFunctions(activation, directions(rng, d, m, not gaussian, paired))


@random_functions.register
def _(
    activation: Gelu, rng: Any, d: int, m: int, gaussian: bool = False
) -> RandomFunctions:
    # The kernel is that of the exact function also where f approximates it.
    exact = replace(activation, approximate=False)
    return RandomFunctions(exact, directions(rng, d, m, False, not gaussian))


@random_functions.register
def _(
    activation: ExpNormalized, rng: Any, d: int, m: int, gaussian: bool = False
) -> RandomFunctions:
    half = -(-m // 2)
    phase = rng.uniform(0, 2 * pi, half)
    # At -w this phase makes a sine of the cosine: their squares add up to one.
    phase = np.concatenate([phase, pi / 2 - phase])[:m]
    return RandomCosines(activation, directions(rng, d, m, False, True), phase)


def _mixed_parity(activation: Activation) -> bool:
    """Whether f is neither odd nor even: then f(w . u) and f(-w . u) differ by more
    than a sign, and the pair is better than two independent directions."""
    x = np.linspace(0.1, 2.0, 8)
    plus, minus = activation(x), activation(-x)
    size = 1e-9 * np.abs(plus).max()
    return bool(np.abs(plus - minus).max() > size and np.abs(plus + minus).max() > size)
