"""Features of a product of branches: sketches of tensor products."""

from functools import reduce
from math import prod
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..kernels.layers import FanInProd
from ..kernels.layers.signature import trace
from .blocks import Array, Block, Blocks, Layout, layout
from .state import Features
from .tap_signs import TapSigns


class ProductMap:
    r"""K' = prod_i K_i and Theta' = sum_i Theta_i prod_{j != i} K_j, without bias.

    The kernel K_1 K_2 has the features phi_1 (x) phi_2, of which
    (g_1 . phi_1) (g_2 . phi_2) with independent random signs g are a sketch.

    Args:
        layer: the product.
        branches: what will come, for the layout of the features.
        dim: number of features of each kernel.
        rng: draws the signs.
    """

    def __init__(
        self,
        layer: FanInProd,
        branches: tuple[Features, ...],
        dim: int,
        rng: np.random.Generator,
    ) -> None:
        self.layer = layer
        phi = [layout(b.phi) for b in branches]
        psi = [layout(b.all_psi) for b in branches]
        self.phi = _signs(rng, phi, dim)
        self.psi = []
        for i, part in enumerate(np.array_split(np.arange(dim), len(branches))):
            mixed = [*phi[:i], psi[i], *phi[i + 1 :]]
            if psi[i] and len(part):
                self.psi.append((i, _signs(rng, mixed, len(part))))

    def __call__(self, branches: tuple[Features, ...]) -> Features:
        signature = trace(self.layer, tuple(b.signature for b in branches))
        phi = [b.phi for b in branches]
        out = (Block(_sketch(phi, self.phi)),)
        known = None
        if any(b.known is not None for b in branches):
            known = prod(b.variance for b in branches)
        if branches[0].psi is None:
            return Features(out, None, 0.0, signature, known)
        psi = []
        for i, signs in self.psi:
            mixed = [*phi[:i], branches[i].all_psi, *phi[i + 1 :]]
            psi.append(_sketch(mixed, signs))
        joined = (Block(array_namespace(*psi).concat(psi, axis=-1)),) if psi else ()
        return Features(out, joined, 0.0, signature, known)


def _signs(rng: np.random.Generator, layouts: list[Layout], m: int) -> list[TapSigns]:
    return [TapSigns(rng, one, m) for one in layouts]


def _sketch(factors: list[Blocks], signs: list[TapSigns]) -> Array:
    def times(a: Array, b: Array) -> Array:
        return a * b

    parts: list[Any] = [g.project(f) for g, f in zip(signs, factors, strict=True)]
    return reduce(times, parts) * signs[0].m ** -0.5
