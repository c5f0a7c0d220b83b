r"""Hermite coefficients of an activation at every norm.

With h_l = He_l / sqrt(l!) orthonormal under g ~ N(0, 1), c_l(s) = E[f(s g) h_l(g)]. The
integrals are sums over panels of Gauss-Legendre nodes, split at the kinks of f and
graded towards 0, where f(s g) varies fast if s is large.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from .backends import backend_of
from .moments import safe_divide, safe_sqrt
from .quadrature import legendre

Array = Any
Function = Callable[[Array], Array]


class Expansion(NamedTuple):
    """f(s g) in Hermite polynomials, one row for each s ``[...]``.

    ``error`` bounds, relative to sqrt(E f^2), what the quadrature adds: it is the
    distance between two rules with different nodes.
    """

    coefficients: Array  # [..., degree + 1]
    square: Array  # E f(s g)^2, [...]
    error: Array  # [...]


def hermite_coefficients(activation: Function, s: Array, degree: int) -> Array:
    r"""c_l(s) = E[f(s g) h_l(g)] for l = 0, ..., degree, differentiable in s.

    .. math::
        k(p, q, c) = \sum_l c_l(\sqrt p) c_l(\sqrt q) \rho^l, \qquad
        E[f'(s g) h_l(g)] = \sqrt{l + 1} \, c_{l + 1}(s) / s.

    Args:
        activation: any ``Activation``, or a function of an array; what it names in an
            attribute ``kinks`` are the points, other than 0, where it is not smooth.
        s: standard deviations ``[...]``, >= 0; float64 is advisable.
        degree: the largest l.

    Returns:
        ``[..., degree + 1]``.

    Reference: Mehler's formula; Daniely et al. 2016 (1602.05897), section 4.2, for
    s = 1.

    >>> s = np.asarray([0.0, 2.0])
    >>> (np.round(hermite_coefficients(lambda x: x * x, s, 2), 12) + 0.0).tolist()
    [[0.0, 0.0, 0.0], [4.0, 0.0, 5.656854249492]]
    """
    kinks = tuple(getattr(activation, "kinks", ()))
    return _project(activation, s, degree, kinks, _RULES[0])[0]


def expand(fn: Function, s: Array, degree: int, kinks: tuple) -> Expansion:
    """The Hermite expansion of f(s g), its second moment and its quadrature error."""
    xp = array_namespace(s)
    fine, square = _project(fn, s, degree, kinks, _RULES[0])
    other, other_square = _project(fn, s, degree, kinks, _RULES[1])
    distance = safe_sqrt(xp.sum((fine - other) ** 2, axis=-1))
    error = safe_divide(distance, safe_sqrt(square))
    gap = safe_divide(square - other_square, square)
    return Expansion(fine, square, error + xp.abs(gap))


def tails(expansion: Expansion) -> Array:
    """For every degree L, a bound on sum_{l > L} c_l^2 / E f^2, with the errors of
    quadrature and rounding, over all rows: ``[degree + 1]``.

    By Cauchy-Schwarz it bounds the error of the kernel sum_{l <= L} c_l(s) c_l(t) rho^l
    relative to sqrt(E f(s g)^2 E f(t g)^2), for all pairs of rows and every rho.
    """
    xp = array_namespace(expansion.square)
    c, square, error = expansion
    rounding = 8 * xp.finfo(square.dtype).eps
    rest = square[..., None] - xp.cumulative_sum(c**2, axis=-1)
    relative = safe_divide(rest, square[..., None] + 0 * rest)
    bounds = xp.abs(relative) + 2 * error[..., None] + rounding
    return xp.max(xp.reshape(bounds, (-1, c.shape[-1])), axis=0)


# Points on each panel, width of the panels, end of the last one.
_RULES = ((12, 0.5, 13.0), (11, 0.4, 12.0))
# Panels are halved so often towards 0.
_LEVELS = 8


def _project(
    fn: Function, s: Array, degree: int, kinks: tuple, rule: tuple
) -> tuple[Array, Array]:
    """The coefficients ``[..., degree + 1]`` and E f^2 ``[...]`` by one rule."""
    if any(t != 0 for t in kinks):
        return _project_split(fn, s, degree, kinks, rule)
    backend = backend_of(s)
    nodes, projection = (backend.constant(a, s) for a in _projection(rule, degree))
    f = fn(s[..., None] * nodes)
    return (
        backend.matmul(f, projection),
        backend.matmul(f * f, projection[:, :1])[..., 0],
    )


def _project_split(
    fn: Function, s: Array, degree: int, kinks: tuple, rule: tuple
) -> tuple[Array, Array]:
    """The same with panels that end where a kink of f(s g) is, for each row."""
    xp = array_namespace(s)
    backend = backend_of(s)
    edges = backend.constant(_edges(rule), s)
    edges = xp.broadcast_to(edges, (*s.shape, edges.shape[0]))
    ends = [_kink_in_row(t, s, rule[2]) for t in kinks if t != 0]
    edges = xp.sort(xp.concat([edges, *ends], axis=-1), axis=-1)
    x, w = (backend.constant(a, s) for a in legendre(rule[0]))
    width = edges[..., 1:] - edges[..., :-1]
    nodes = edges[..., :-1, None] + width[..., None] * x
    flat = (*s.shape, -1)
    weights = xp.reshape(width[..., None] * w, flat)
    nodes = xp.reshape(nodes, flat)
    weights = weights * xp.exp(-0.5 * nodes**2) / (2 * np.pi) ** 0.5

    f = fn(s[..., None] * nodes)
    wf = weights * f
    last, h = xp.zeros_like(nodes), xp.ones_like(nodes)
    coefficients = []
    for n in range(degree + 1):
        coefficients.append(xp.sum(wf * h, axis=-1))
        last, h = h, (nodes * h - n**0.5 * last) / (n + 1) ** 0.5
    return xp.stack(coefficients, axis=-1), xp.sum(wf * f, axis=-1)


def _kink_in_row(t: float, s: Array, end: float) -> Array:
    """t / s within [-end, end], ``[..., 1]``."""
    xp = array_namespace(s)
    near = s * end > abs(t)
    place = t / xp.where(near, s, xp.ones_like(s))
    return xp.where(near, place, xp.full_like(s, end if t > 0 else -end))[..., None]


@lru_cache(maxsize=8)
def _edges(rule: tuple) -> np.ndarray:
    _, width, end = rule
    graded = width * 2.0 ** -np.arange(_LEVELS, 0, -1)
    right = np.concatenate([graded, np.arange(1, round(end / width) + 1) * width])
    return np.concatenate([-right[::-1], [0.0], right])


@lru_cache(maxsize=16)
def _projection(rule: tuple, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``[Q]`` and the matrix w phi(x) h_l(x) ``[Q, degree + 1]``."""
    edges = _edges(rule)
    x, w = legendre(rule[0])
    width = np.diff(edges)
    nodes = (edges[:-1, None] + width[:, None] * x).ravel()
    weights = (width[:, None] * w).ravel() * np.exp(-0.5 * nodes**2)
    h = np.ones((degree + 1, nodes.size))
    if degree:
        h[1] = nodes
    for n in range(1, degree):
        h[n + 1] = (nodes * h[n] - n**0.5 * h[n - 1]) / (n + 1) ** 0.5
    return nodes, (h * (weights / np.sqrt(2 * np.pi))).T
