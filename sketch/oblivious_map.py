"""Random features that need no sample: low Hermite degrees exactly, the rest drawn."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import Activation, ExpNormalized
from ..dual_activations.moments import safe_divide, safe_sqrt
from ..kernels.layers.signature import trace
from .blocks import Array, Block, Layout, Matrix, dense, project, squares
from .coefficients import coefficients
from .constants import Constant, take
from .nonlinearity import random_functions
from .state import Features
from .tap_signs import TapSigns


class ObliviousMap:
    r"""Features after an activation that are unbiased for both kernels.

    Where all monomials of u / |u| up to degree L take at most half of the features,
    those of Hermite degree l <= L are exact, and the random ones are of the rest:

    .. math::
        \phi' = [c_0(s), c_1(s) \hat u, c_2(s) \hat u \otimes \hat u, \ldots, \;
          (f(w \cdot u) - \sum_{l \le L} c_l(s) h_l(w \cdot \hat u)) / \sqrt m],
          \qquad s = |u|.

    The NTK keeps degree 0 of the derivative's kernel where psi itself fits.

    Args:
        activation: f.
        dim: number of features of each kernel.
        phi_layout, psi_layout: of the features that will come; psi with the shared.
        rng: draws the features.
    """

    def __init__(
        self,
        activation: Activation,
        dim: int,
        phi_layout: Layout,
        psi_layout: Layout,
        rng: np.random.Generator,
    ) -> None:
        d, e = (sum(t * a for t, a in one) for one in (phi_layout, psi_layout))
        self.activation, self.dim = activation, dim
        self.degree = _exact_degree(activation, dim, d)
        self.keeps_psi = self.degree >= 0 and e <= dim // 2
        self.functions = random_functions(activation, rng, d, dim, self.degree >= 0)
        self.directions = Matrix(self.functions.w, phi_layout)
        self.signs = TapSigns(rng, psi_layout, dim - e * self.keeps_psi)

    def __call__(self, before: Features) -> Features:
        signature = trace(self.activation, before.signature)
        p = squares(before.phi)
        t = project(before.phi, self.directions)
        low = None
        if self.degree >= 0:
            low = coefficients(self.activation, safe_sqrt(p)[..., 0], self.degree)
        phi = (Block(self._phi(before, t, p, low)),)
        psi = before.psi
        if psi is not None:
            psi = (Block(self._psi(before, t, p, low)),)
        return Features(phi, psi, 0.0, signature)

    def _phi(self, before: Features, t: Array, p: Array, low: Any) -> Array:
        r = self.functions.value(t, p)
        if low is None:
            return r * self.dim**-0.5
        xp, c = array_namespace(p), low[0]
        u = safe_divide(dense(before.phi), safe_sqrt(p) + 0 * dense(before.phi))
        powers = _monomials(u, self.degree)
        head = [c[..., n : n + 1] * power for n, power in enumerate(powers)]
        m = self.dim - sum(part.shape[-1] for part in head)
        t, r = t[..., :m], r[..., :m]
        for n, h in enumerate(_hermite(safe_divide(t, safe_sqrt(p) + 0 * t), powers)):
            r = r - c[..., n : n + 1] * h
        return xp.concat([*head, r * m**-0.5], axis=-1)

    def _psi(self, before: Features, t: Array, p: Array, low: Any) -> Array:
        m = self.signs.m
        s = self.functions.slope(t[..., :m], p)
        g = self.signs.project(before.all_psi)
        if not self.keeps_psi:
            return g * s * m**-0.5
        d0 = low[1][..., :1]
        head = d0 * dense(before.all_psi)
        xp = array_namespace(p)
        return xp.concat([head, g * (s - d0) * m**-0.5], axis=-1)


def _exact_degree(activation: Activation, dim: int, d: int) -> int:
    """The largest degree <= 2 whose monomials fit; -1 if not even degree 1 does."""
    if isinstance(activation, ExpNormalized):
        return -1
    sizes = (1 + d, 1 + d + d * (d + 1) // 2)
    return max([n for n, size in enumerate(sizes, 1) if size <= dim // 2], default=-1)


def _monomials(u: Array, degree: int) -> list[Array]:
    """Features of the kernels rho^0, rho^1, ..., of unit vectors ``[..., d]``."""
    xp = array_namespace(u)
    powers = [xp.ones_like(u[..., :1]), u]
    if degree == 2:
        i, j = np.triu_indices(u.shape[-1])
        twice = Constant(np.where(i == j, 1.0, 2**0.5)).like(u)
        powers.append(twice * take(u, i) * take(u, j))
    return powers[: degree + 1]


def _hermite(x: Array, powers: list[Array]) -> list[Array]:
    """h_0, h_1, ... of x, as many as there are powers."""
    xp = array_namespace(x)
    return [xp.ones_like(x), x, (x * x - 1) / 2**0.5][: len(powers)]
