r"""Any activation: the Mehler series with coefficients of each norm, and its error.

.. math::
    k(p, q, c) = \sum_l c_l(\sqrt p) \, c_l(\sqrt q) \, \rho^l, \qquad
    c_l(s) = E[f(s g) h_l(g)].

The coefficients belong to rows, not to pairs, so that a kernel of n rows costs n
quadratures and a polynomial in rho for each pair. It converges for every norm and is
positive semidefinite term by term. What is cut off is known:
sum_{l > L} |c_l(s) c_l(t)| is at most the geometric mean of the tails
E f(s g)^2 - sum_{l <= L} c_l(s)^2.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from array_api_compat import array_namespace

from .backends import backend_of
from .base import Activation, Array
from .hermite import expand, tails
from .moments import safe_divide, safe_sqrt
from .parameters import freeze, real


class SeriesWarning(UserWarning):
    """A compiled function met norms for which its series is not as exact as asked."""


class Series:
    """The Mehler series of f on rows of variances p and q.

    ``bounds[L]`` is the certified error of degree L, relative to
    sqrt(E f(u)^2 E f(v)^2) and at the worst pair of rows.
    """

    def __init__(
        self, fn: Callable, p: Array, q: Array, degree: int, kinks: tuple
    ) -> None:
        xp = array_namespace(p, q)
        double = backend_of(p).double
        self.left, self.right = (
            expand(fn, safe_sqrt(double(v)), degree, kinks) for v in (p, q)
        )
        self.dtype = p.dtype
        self.bounds = xp.maximum(tails(self.left), tails(self.right))

    def sufficient_degree(self, tol: float) -> Array:
        """The smallest degree that is certified to ``tol``, a 0-d array; one more than
        the largest degree if none is."""
        xp = array_namespace(self.bounds)
        # A bound that is not a number is no bound.
        return xp.sum(xp.astype(~(self.bounds <= tol), self.bounds.dtype))

    def sum(self, rho: Array, degree: int) -> Array:
        """sum_{l <= degree} c_l c_l rho^l by Horner's rule."""
        xp = array_namespace(rho)
        a, b = (
            xp.unstack(xp.astype(e.coefficients, self.dtype), axis=-1)[: degree + 1]
            for e in (self.left, self.right)
        )
        total = a[-1] * b[-1] + 0 * rho
        for x, y in zip(a[-2::-1], b[-2::-1], strict=True):
            total = total * rho + x * y
        return total


def unclipped_correlation(p: Array, q: Array, c: Array) -> Array:
    """c / sqrt(p q), 0 for a zero row. A polynomial needs no clipping, which would cut
    the gradient at +-1."""
    return safe_divide(c, safe_sqrt(p) * safe_sqrt(q))


def _derivative_of(activation: "Elementwise") -> Callable:
    """f' as a function: given, a ``slope`` of the function, or by automatic or (without
    it) numerical differentiation."""
    given = activation.derivative_fn or getattr(activation.fn, "slope", None)
    if callable(given):
        return partial(_called, given)

    def slope(x: Array) -> Array:
        xp = array_namespace(x)
        room = xp.full_like(x, xp.inf)
        for t in activation.kinks:
            room = xp.minimum(room, xp.abs(x - t))
        return backend_of(x).slope(activation, x, room)

    return slope


@dataclass(frozen=True)
class Elementwise(Activation):
    r"""f(x) = fn(x) for any function, by its Mehler series of each norm.

    The degree is the smallest one whose certified error,

    .. math::
        |\hat k - k| \le \epsilon \sqrt{E[f(u)^2] E[f(v)^2]},

    is at most ``tol`` at the norms at hand, likewise for the derivative. The
    certificate is the tail of the series (Cauchy-Schwarz) plus an estimate of the
    quadrature error, the difference between two rules. If no degree up to ``degree``
    is certified, a ``ValueError`` says what is possible. Under ``jax.jit`` and
    ``jax.vmap`` the norms are not known: the full degree is used, and a
    ``SeriesWarning`` is given when the compiled function meets norms beyond its reach.

    The series is best for smooth functions at moderate norms: the degree it needs grows
    with the norm squared, and kinks leave an error of about L^{-3/2}.

    Args:
        fn: the function, elementwise, in the array library of the inputs. It is called
            in float64 where the library has it.
        derivative_fn: f', almost everywhere. By default it is found by automatic
            differentiation (JAX, torch) or central differences (1e-10; other
            libraries).
        kinks: points where f or f' is not smooth.
        degree: the largest degree to use.
        tol: relative error to certify; never below 64 roundings.

    Raises:
        TypeError: ``fn`` does not work on the arrays at hand.
        ValueError: the series is not certified to ``tol``.

    Reference: Mehler 1866; Daniely et al. 2016 (1602.05897), for unit norms; Han et al.
    2022 (2209.04121) cut the series at unit norm instead, which diverges elsewhere.

    >>> import numpy as np
    >>> f = Elementwise(lambda x: x**2, lambda x: 2 * x)
    >>> k = f.value(*np.asarray([2.0, 3.0, 0.5]))  # p q + 2 c^2
    >>> float(np.round(k, 12))
    6.5
    """

    fn: Callable[[Array], Array]
    derivative_fn: Callable[[Array], Array] | None = None
    kinks: tuple[float, ...] = ()
    degree: int = 128
    tol: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("fn", "derivative_fn"):
            given = getattr(self, name)
            if not callable(given) and not (given is None and name != "fn"):
                raise TypeError(
                    f"Elementwise: {name} is {given!r}, expected a function of an array"
                )
        if not isinstance(self.degree, int) or self.degree < 1:
            raise ValueError(
                f"Elementwise: degree is {self.degree!r}, expected an integer > 0"
            )
        kinks = (*self.kinks, *getattr(self.fn, "kinks", ()))
        kinks = tuple(real("Elementwise", "kinks", t) for t in kinks)
        freeze(self, kinks=kinks, tol=real("Elementwise", "tol", self.tol))
        if self.tol <= 0:
            raise ValueError(f"Elementwise: tol is {self.tol!r}, expected a number > 0")

    def __call__(self, x: Array) -> Array:
        return _called(self.fn, x)

    def value(self, p: Array, q: Array, c: Array) -> Array:
        return self._sum(self, p, q, c)

    def derivative(self, p: Array, q: Array, c: Array) -> Array:
        return self._sum(_derivative_of(self), p, q, c)

    def variance(self, p: Array) -> Array:
        """E f^2, by quadrature alone, whose two rules must agree to ``tol``."""
        backend, xp = backend_of(p), array_namespace(p)
        expansion = expand(self, safe_sqrt(backend.double(p)), 0, self.kinks)
        self._certified(xp.max(2 * expansion.error), p)
        return xp.astype(expansion.square, p.dtype)

    def _sum(self, fn: Callable, p: Array, q: Array, c: Array) -> Array:
        series = Series(fn, p, q, self.degree, self.kinks)
        rho = unclipped_correlation(p, q, c)
        tol = self._tolerance(series.bounds)
        needed = backend_of(p).known(series.sufficient_degree(tol))
        if needed is None or needed > self.degree:
            self._certified(series.bounds[-1], p, q)
            return series.sum(rho, self.degree)
        return series.sum(rho, int(needed))

    def _tolerance(self, like: Array) -> float:
        return max(self.tol, 64 * float(array_namespace(like).finfo(like.dtype).eps))

    def _certified(self, bound: Array, *variances: Array) -> None:
        """Refuse a bound above the tolerance, or warn of it when it becomes known."""
        backend, tol = backend_of(bound), self._tolerance(bound)
        number = backend.known(bound)
        if number is None:
            backend.report(bound, partial(_warn, tol))
        elif not number <= tol:
            xp = array_namespace(bound)
            norm = max(backend.known(xp.max(v)) for v in variances) ** 0.5
            raise ValueError(
                f"Elementwise: at norms up to {norm:.3g} the series of "
                f"{_name(self.fn)} is certified to {number:.1e} by degree "
                f"{self.degree}, expected tol={tol:.1e}; raise degree or tol, name the "
                "kinks of the function, normalise the inputs, or use an activation "
                "with a closed form"
            )


def _warn(tol: float, bound: float) -> None:
    if not bound <= tol:
        warnings.warn(
            f"a series of an Elementwise activation is certified to {bound:.1e} only, "
            f"expected tol={tol:.1e}; raise degree or tol, or call it outside jit",
            SeriesWarning,
            stacklevel=2,
        )


def _called(fn: Callable, x: Array) -> Array:
    """fn(x), with an error that says what went wrong."""
    kind = f"{type(x).__module__.split('.')[0]} array"
    try:
        y = fn(x)
    except Exception as error:
        raise TypeError(
            f"Elementwise: {_name(fn)} fails on a {kind} ({type(error).__name__}: "
            f"{error}); write it for the array library of the inputs"
        ) from error
    try:
        same = array_namespace(y) is array_namespace(x) and y.shape == x.shape
    except TypeError:
        same = False
    if not same:
        raise TypeError(
            f"Elementwise: {_name(fn)} of a {kind} of shape {x.shape} is a "
            f"{type(y).__module__.split('.')[0]} {type(y).__name__} of shape "
            f"{getattr(y, 'shape', '()')}, expected the same library and shape"
        )
    return y


def _name(fn: Callable) -> str:
    return getattr(fn, "__name__", repr(fn))
