"""The papers' features after an activation: its Hermite series, sketched."""

import numpy as np
from array_api_compat import array_namespace

from ..dual_activations import Activation
from ..dual_activations.moments import safe_divide, safe_sqrt
from ..kernels.layers.signature import trace
from .blocks import Array, Block, Blocks, Layout, gained, squares
from .coefficients import coefficients
from .poly_sketch import PolySketch
from .srht import SRHT, TensorSRHT, real_features
from .state import Features, constant


class PolynomialMap:
    r"""Features of the kernels' Hermite series up to degree q.

    With s = |u| and U_l the sketch of degree l,

    .. math::
        Z = [c_0(s), c_1(s) U_1(\hat u), \ldots, c_q(s) U_q(\hat u)], \qquad
        \dot Z \text{ likewise with } d_l(s), \\
        \phi' = S Z, \qquad \psi' = T(\psi, \dot Z).

    The coefficients belong to each norm, so that the series converges at all of them.
    What it leaves out beyond degree q is lost.

    Args:
        activation: f.
        dim: number of real features of each kernel, even.
        degree: q, which is included.
        phi_layout, psi_layout: of the features that will come; psi with the shared.
        rng: draws the sketches.

    Reference: Han et al. 2022 (2209.04121), algorithm 1; Zandieh et al. 2021
    (2106.07880), section 3.
    """

    def __init__(
        self,
        activation: Activation,
        dim: int,
        degree: int,
        phi_layout: Layout,
        psi_layout: Layout,
        rng: np.random.Generator,
    ) -> None:
        self.activation, self.degree = activation, degree
        k = dim // 4
        self.powers = PolySketch(rng, phi_layout, degree, k)
        series: Layout = ((1, 1), *[(1, k)] * degree)
        self.compress = SRHT(rng, series, dim // 2)
        self.product = TensorSRHT(rng, psi_layout, series, dim // 2)

    def __call__(self, before: Features) -> Features:
        signature = trace(self.activation, before.signature)
        s = safe_sqrt(squares(before.phi))[..., 0]
        one = array_namespace(s).ones_like(s)
        unit = gained(before.phi, safe_divide(one, s))
        powers = self.powers(unit)
        c, d = coefficients(self.activation, s, self.degree)
        phi = (Block(real_features(self.compress(_series(powers, c)))),)
        if before.psi is None:
            return Features(phi, None, 0.0, signature)
        psi = self.product(before.all_psi, _series(powers, d))
        return Features(phi, (Block(real_features(psi)),), 0.0, signature)


def _series(powers: list[Array], coefficients: Array) -> Blocks:
    """c_0, c_1 U_1, ..., side by side."""
    zeroth = constant(coefficients, tuple(coefficients.shape[1:-1]), 1.0)
    terms = [zeroth, *map(Block, powers)]
    return tuple(
        Block(term.array, gain=coefficients[..., n]) for n, term in enumerate(terms)
    )
