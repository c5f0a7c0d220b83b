r"""Continuous piecewise linear functions with any kinks: HardTanh, Relu6, ..."""

from dataclasses import dataclass, field
from math import isfinite, pi, sqrt
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .backends import backend_of
from .base import Activation, Array
from .bivariate import bivariate_ndtr_of_angle
from .moments import angle, safe_sqrt
from .parameters import freeze, real
from .special import ndtr, normal_pdf


@dataclass(frozen=True)
class PiecewiseLinear(Activation):
    r"""f(x) = offset + slope x + sum_i jumps_i (x - kinks_i)_+.

    The sum is first written with thresholds that point away from zero,
    (x - t)_+ = x - t + (-x - |t|)_+ for t < 0, so that f is exactly linear for small
    inputs. Then, with h = s / sqrt p, t = s' / sqrt q for thresholds s, s' >= 0,
    L = P(u > s, v > s') and w = sin(theta),

    .. math::
        E[(u - s)_+ (v - s')_+] = (c + s s') L
            - s' \sqrt p \phi(h) \Phi\left(\frac{\rho h - t}{w}\right)
            - s \sqrt q \phi(t) \Phi\left(\frac{\rho t - h}{w}\right)
            + \sqrt{pq} w \phi(h) \phi\left(\frac{t - \rho h}{w}\right),

    E[1(u > s) 1(v > s')] = L, E[(u - s)_+] = sqrt(p) (phi(h) - h Phi(-h)) and
    E[v (u - s)_+] = c Phi(-h).

    Of a function that saturates, terms of size max(p, q) cancel, and the absolute error
    is rounding times that: 1e-10 at norm 1e3. It is computed in float64 for float32
    inputs as well, except that JAX has float64 only where it is switched on; without
    it, expect 1e-5 at norm 10 and normalise larger inputs.

    Args:
        kinks: where the slope changes.
        jumps: by how much, one for each kink.
        offset, slope: the line that f follows below all kinks.

    Reference: partial derivatives of the bivariate normal distribution function, which
    is L (Owen 1980, tables of bivariate normal integrals); derived here.

    >>> import numpy as np
    >>> f = PiecewiseLinear(kinks=(-1.0, 2.0), jumps=(0.0, 0.0), offset=1.0, slope=3.0)
    >>> float(f.value(*np.asarray([2.0, 4.0, 0.5])))  # 1 + 9 c
    5.5
    """

    kinks: tuple[float, ...]
    jumps: tuple[float, ...]
    offset: Any = 0.0
    slope: Any = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        kinks = tuple(real(owner, "kinks", t) for t in self.kinks)
        jumps = tuple(real(owner, "jumps", s) for s in self.jumps)
        if len(kinks) != len(jumps):
            raise ValueError(
                f"{owner}: jumps has {len(jumps)} entries, expected one for each of "
                f"the {len(kinks)} kinks"
            )
        if not all(isinstance(t, float) and isfinite(t) for t in kinks):
            raise TypeError(f"{owner}: kinks is {kinks!r}, expected plain numbers")
        freeze(
            self,
            kinks=kinks,
            jumps=jumps,
            offset=real(owner, "offset", self.offset),
            slope=real(owner, "slope", self.slope),
        )

    def __call__(self, x: Array) -> Array:
        xp = array_namespace(x)
        y = self.offset + self.slope * x
        for t, jump in zip(self.kinks, self.jumps, strict=True):
            y = y + jump * xp.where(x > t, x - t, xp.zeros_like(x))
        return y

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[0]

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self.value_and_derivative(p, q, c)[1]

    def value_and_derivative(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        xp, double = array_namespace(p, q, c), backend_of(c).double
        value, slope = self._in_double(double(p), double(q), double(c))
        bound = self._largest_square()
        if bound is not None:
            value = xp.clip(value, -bound, bound)
        return xp.astype(value, c.dtype), xp.astype(slope, c.dtype)

    def _in_double(self, p: Array, q: Array, c: Array) -> tuple[Array, Array]:
        constant, line, hinges = self._from_zero()
        theta, _ = angle(p, q, c)
        left, right = ([_Hinge(v, t) for _, _, t in hinges] for v in (p, q))
        value = constant**2 + line**2 * c
        slope = line**2 + 0 * c
        for (s, side, _), u, v in zip(hinges, left, right, strict=True):
            beyond = u.beyond + v.beyond
            value = value + s * constant * (u.mean + v.mean)
            value = value + s * line * side * c * beyond
            slope = slope + s * line * side * beyond
        mirrored = {1.0: (theta, c), -1.0: (pi - theta, -c)}
        for (s, side, _), u in zip(hinges, left, strict=True):
            for (s2, side2, _), v in zip(hinges, right, strict=True):
                moment, both = _pair(u, v, *mirrored[side * side2])
                value = value + s * s2 * moment
                slope = slope + s * s2 * side * side2 * both
        return value, slope

    def _largest_square(self) -> float | None:
        """max f^2, if f is bounded and its parameters are numbers."""
        numbers = (self.offset, self.slope, *self.jumps)
        bounded = all(isinstance(v, float) for v in numbers) and self.slope == 0
        if not bounded or not self.jumps or abs(sum(self.jumps)) > 1e-12:
            return None
        ends = np.asarray([*self.kinks, min(self.kinks) - 1, max(self.kinks) + 1])
        return float(np.max(self(ends) ** 2))

    def _from_zero(self) -> tuple[Any, Any, list[tuple[Any, float, float]]]:
        """f(x) = constant + line x + sum of jump (side x - threshold)_+, as (constant,
        line, [(jump, side, threshold)]) with side = +-1 and threshold >= 0."""
        constant, line, hinges = self.offset, self.slope, []
        for t, jump in zip(self.kinks, self.jumps, strict=True):
            if t < 0:
                constant, line = constant - jump * t, line + jump
            hinges.append((jump, -1.0 if t < 0 else 1.0, abs(t)))
        return constant, line, hinges


@dataclass(frozen=True)
class HardTanh(PiecewiseLinear):
    """f(x) = min(max(x, -1), 1).

    >>> import numpy as np
    >>> float(HardTanh()(np.asarray(-3.0)))
    -1.0
    """

    kinks: tuple[float, ...] = field(default=(-1.0, 1.0), init=False, repr=False)
    jumps: tuple[float, ...] = field(default=(1.0, -1.0), init=False, repr=False)
    offset: float = field(default=-1.0, init=False, repr=False)
    slope: float = field(default=0.0, init=False, repr=False)


@dataclass(frozen=True)
class Relu6(PiecewiseLinear):
    """f(x) = min(max(x, 0), 6).

    >>> import numpy as np
    >>> float(Relu6()(np.asarray(7.0)))
    6.0
    """

    kinks: tuple[float, ...] = field(default=(0.0, 6.0), init=False, repr=False)
    jumps: tuple[float, ...] = field(default=(1.0, -1.0), init=False, repr=False)
    offset: float = field(default=0.0, init=False, repr=False)
    slope: float = field(default=0.0, init=False, repr=False)


@dataclass(frozen=True)
class HardSigmoid(PiecewiseLinear):
    """f(x) = min(max(x / 6 + 1 / 2, 0), 1), as in torch and JAX.

    >>> import numpy as np
    >>> float(HardSigmoid()(np.asarray(0.0)))
    0.5
    """

    kinks: tuple[float, ...] = field(default=(-3.0, 3.0), init=False, repr=False)
    jumps: tuple[float, ...] = field(default=(1 / 6, -1 / 6), init=False, repr=False)
    offset: float = field(default=0.0, init=False, repr=False)
    slope: float = field(default=0.0, init=False, repr=False)


class _Hinge:
    """(u - threshold)_+ of one variable u ~ N(0, variance), threshold >= 0."""

    def __init__(self, variance: Array, threshold: float) -> None:
        xp = array_namespace(variance)
        self.std = safe_sqrt(variance)
        self.threshold = threshold
        # 40 standard deviations are as far as infinity, also for a zero row.
        near = 40 * self.std > threshold
        std = xp.where(near, self.std, xp.ones_like(self.std))
        far = xp.full_like(std, 40.0 if threshold else 0.0)
        self.limit = xp.where(near, threshold / std, far)
        self.density = normal_pdf(self.limit)
        self.beyond = ndtr(-self.limit)
        self.mean = self.std * self.density - threshold * self.beyond


def _pair(u: _Hinge, v: _Hinge, theta: Array, c: Array) -> tuple[Array, Array]:
    """E[(u - s)_+ (v - s')_+] and P(u > s, v > s') at correlation cos(theta)."""
    xp = array_namespace(theta, c)
    h, t, w = u.limit, v.limit, xp.sin(theta)
    both = bivariate_ndtr_of_angle(-h, -t, theta)
    gap = 2 * xp.sin(theta / 2) ** 2  # 1 - rho
    over_t, over_h = _ratio((t - h) + h * gap, w), _ratio((h - t) + t * gap, w)
    moment = (
        (c + u.threshold * v.threshold) * both
        - v.threshold * u.std * u.density * ndtr(-over_t)
        - u.threshold * v.std * v.density * ndtr(-over_h)
        + u.std * v.std * w * u.density * xp.exp(-0.5 * over_t**2) / sqrt(2 * pi)
    )
    return moment, both


def _ratio(a: Array, w: Array) -> Array:
    """a / w for w >= 0, within [-40, 40]."""
    xp = array_namespace(a, w)
    size = xp.where(a < 0, -a, a)
    close = size < 40 * w
    ratio = a / xp.where(close, w, xp.ones_like(w))
    return xp.where(close, ratio, 40 * xp.sign(a))
