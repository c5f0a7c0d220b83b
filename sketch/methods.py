"""The methods of a sketch: which map follows a layer that needs one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.layers import FanInProd
from .activation_map import ActivationMap, Tail
from .blocks import layout, width
from .candidates import Candidates
from .fitting import Maker
from .landmarks import choose_landmarks
from .nonlinearity import random_functions
from .oblivious_map import ObliviousMap
from .polynomial_map import PolynomialMap
from .product_map import ProductMap
from .tap_signs import TapSigns
from .walk import Map, Stop


def landmark_maker(dim: int, head: int) -> Maker:
    """Makes maps of ``dim`` features, ``head`` of them by landmarks of the sample."""

    def make(stop: Stop, candidates: Candidates, rng: np.random.Generator) -> Map:
        activation, features = stop
        phi, all_psi = layout(features.phi), layout(features.all_psi)
        landmarks = choose_landmarks(activation, candidates, features.share, head, rng)
        tail = None
        if head < dim:
            # Landmarks that the sample does not hold become random features.
            m = dim - len(landmarks.phi)
            functions = random_functions(activation, rng, width(features.phi), m)
            tail = Tail(functions, TapSigns(rng, all_psi, m))
        return ActivationMap(activation, landmarks, tail, phi, layout(features.psi))

    return _products_too(make, dim)


def oblivious_maker(dim: int) -> Maker:
    """Makes maps of ``dim`` random features that need no sample."""

    def make(stop: Stop, candidates: None, rng: np.random.Generator) -> Map:
        activation, features = stop
        phi, psi = layout(features.phi), layout(features.all_psi)
        return ObliviousMap(activation, dim, phi, psi, rng)

    return _products_too(make, dim)


def polynomial_maker(dim: int, degree: int) -> Maker:
    """Makes maps of ``dim`` sketched features of Hermite degrees up to ``degree``."""

    def make(stop: Stop, candidates: None, rng: np.random.Generator) -> Map:
        activation, features = stop
        phi, psi = layout(features.phi), layout(features.all_psi)
        return PolynomialMap(activation, dim, degree, phi, psi, rng)

    return _products_too(make, dim)


def _products_too(make: Callable[..., Map], dim: int) -> Maker:
    """``make`` for activations; products of branches are sketched by every method."""

    def any_layer(stop: Stop, candidates: Any, rng: np.random.Generator) -> Map:
        if isinstance(stop.layer, FanInProd):
            return ProductMap(stop.layer, stop.features, dim, rng)
        return make(stop, candidates, rng)

    return any_layer
