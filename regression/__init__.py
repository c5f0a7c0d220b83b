"""Regression with kernels: ridge, Gaussian processes, gradient flow.

Expensive and cheap parts are split: ``fit`` factorises once, ``predict`` solves many
times. Everything is solved in float64 by NumPy and SciPy.
"""

from .cholesky import JitterWarning, NotPositiveDefiniteError
from .flow import Flow, max_learning_rate
from .leave_one_out import RidgeChoice, choose_ridge
from .model import GradientFlow, KernelRegression
from .posterior import Posterior, Prediction

__all__ = [
    "Flow",
    "GradientFlow",
    "JitterWarning",
    "KernelRegression",
    "NotPositiveDefiniteError",
    "Posterior",
    "Prediction",
    "RidgeChoice",
    "choose_ridge",
    "max_learning_rate",
]
