r"""Quadrature rules: Gauss-Legendre on panels, Gauss-Hermite, Gauss rules of a measure.

A rule of panels is exact for piecewise functions whose breaks are edges of panels.
Gauss-Hermite converges only as 1 / n on a kink and is left to smooth functions.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from scipy.special import roots_hermitenorm, roots_legendre

from .backends import backend_of

Array = Any


@lru_cache(maxsize=64)
def legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Nodes and weights ``[points]`` of :math:`\int_0^1 f`.

    >>> x, w = legendre(4)
    >>> round(float(sum(w * x**7)), 15)
    0.125
    """
    x, w = roots_legendre(points)
    return _frozen((x + 1) / 2), _frozen(w / 2)


@lru_cache(maxsize=16)
def hermite(points: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Nodes and weights ``[points]`` of E[f(g)], g ~ N(0, 1).

    >>> x, w = hermite(500)
    >>> round(float(sum(w * x**4)), 12)
    3.0
    """
    x, w = roots_hermitenorm(points)
    return _frozen(x), _frozen(w / np.sum(w))


def gauss(x: np.ndarray, w: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss rule of a discrete measure: nodes and weights ``[points]`` that
    integrate polynomials of degree ``2 points - 1`` like the weights w on the points x.

    Lanczos iteration on diag(x) with full reorthogonalisation, then the eigenvalues of
    the Jacobi matrix (Golub & Welsch 1969).
    """
    basis = [np.sqrt(w / np.sum(w))]
    diagonal, off = [], []
    for _ in range(points):
        r = x * basis[-1]
        diagonal.append(basis[-1] @ r)
        for _ in range(2):
            for b in basis:
                r = r - (b @ r) * b
        off.append(np.linalg.norm(r))
        basis.append(r / off[-1])
    jacobi = np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, np.sum(w) * vectors[0] ** 2


def integral(term: Callable, points: int, *arrays: Array) -> tuple[Array, ...]:
    r"""The sum over Gauss-Legendre nodes of ``term((x, w), *arrays)``, memory-flat.

    With w f(x) as the term it is :math:`\int_0^1 f`, for each entry of the arrays.

    ``term`` is a function of a module that gives a tuple of arrays. Single precision
    takes half of the points, which is as exact as it can be.
    """
    xp = array_namespace(*arrays)
    if xp.finfo(arrays[0].dtype).bits == 32:
        points = (points + 1) // 2
    backend = backend_of(arrays[0])
    rows = backend.constant(np.stack(legendre(points), axis=-1), arrays[0])
    return backend.total(term, rows, arrays)


def _frozen(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a
