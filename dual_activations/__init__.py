"""Dual activations: E[f(u) f(v)] and E[f'(u) f'(v)] for Gaussian pairs.

Knows nothing of networks.
"""

from .base import Activation
from .bivariate import bivariate_ndtr
from .error_functions import Erf, Sigmoid_like
from .exp_normalized import ExpNormalized
from .exponential_linear import Celu, Elu, Selu
from .exponentials import Cosh, Exp, Sinh
from .gaussians import DampedSin, Gabor, Gaussian
from .gelus import Gelu, ScaledGelu
from .hermite import hermite_coefficients
from .piecewise_linear import HardSigmoid, HardTanh, PiecewiseLinear, Relu6
from .polynomials import Hermite, Monomial, Polynomial
from .rectified_monomials import RectifiedMonomial
from .rectifiers import ABRelu, Abs, LeakyRelu, Relu
from .series import Elementwise, SeriesWarning
from .smooth import Mish, Sigmoid, Silu, Softplus, Tanh
from .steps import Sign, Step
from .trigonometric import Cos, Rbf, Sin

__all__ = [
    "ABRelu",
    "Abs",
    "Activation",
    "Celu",
    "Cos",
    "Cosh",
    "DampedSin",
    "Elementwise",
    "Elu",
    "Erf",
    "Exp",
    "ExpNormalized",
    "Gabor",
    "Gaussian",
    "Gelu",
    "HardSigmoid",
    "HardTanh",
    "Hermite",
    "LeakyRelu",
    "Mish",
    "Monomial",
    "PiecewiseLinear",
    "Polynomial",
    "Rbf",
    "RectifiedMonomial",
    "Relu",
    "Relu6",
    "ScaledGelu",
    "Selu",
    "SeriesWarning",
    "Sigmoid",
    "Sigmoid_like",
    "Sign",
    "Silu",
    "Sin",
    "Sinh",
    "Softplus",
    "Step",
    "Tanh",
    "bivariate_ndtr",
    "hermite_coefficients",
]
