"""Dual activations: E[f(u) f(v)] and E[f'(u) f'(v)] for Gaussian pairs.

Knows nothing of networks.
"""

from .base import Activation
from .error_functions import Erf, Sigmoid_like
from .exp_normalized import ExpNormalized
from .exponentials import Cosh, Exp, Sinh
from .gaussians import DampedSin, Gabor, Gaussian
from .gelus import Gelu, ScaledGelu
from .polynomials import Hermite, Monomial, Polynomial
from .rectified_monomials import RectifiedMonomial
from .rectifiers import ABRelu, Abs, LeakyRelu, Relu
from .steps import Sign, Step
from .trigonometric import Cos, Rbf, Sin

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "Cos",
    "Cosh",
    "DampedSin",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Gabor",
    "Gaussian",
    "Gelu",
    "Hermite",
    "LeakyRelu",
    "Monomial",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "ScaledGelu",
    "Sigmoid_like",
    "Sign",
    "Sin",
    "Sinh",
    "Step",
]
