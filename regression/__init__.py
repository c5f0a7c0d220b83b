"""Regression with kernels: ridge, Gaussian processes, gradient flow.

Expensive and cheap parts are split: ``fit`` factorises once, ``predict`` solves many
times. Everything is solved in float64 by NumPy and SciPy.
"""

from typing import Any

from .cholesky import JitterWarning, NotPositiveDefiniteError
from .feature_preconditioner import feature_preconditioner
from .feature_ridge import FeatureRidge, Moments
from .flow import Flow, max_learning_rate
from .leave_one_out import RidgeChoice, choose_ridge
from .marginal_likelihood import (
    LikelihoodFit,
    log_marginal_likelihood,
    maximise_likelihood,
)
from .model import GradientFlow, KernelRegression
from .posterior import Posterior, Prediction
from .report import NotConvergedError, Report, Solution
from .solve import solve

__all__ = [
    "FeatureRidge",
    "Flow",
    "GradientFlow",
    "JitterWarning",
    "KernelRegression",
    "LikelihoodFit",
    "Moments",
    "NotConvergedError",
    "NotPositiveDefiniteError",
    "Posterior",
    "Prediction",
    "Report",
    "RidgeChoice",
    "Solution",
    "choose_ridge",
    "feature_preconditioner",
    "log_marginal_likelihood",
    "max_learning_rate",
    "maximise_likelihood",
    "solve",
]


def __getattr__(name: str) -> Any:
    """The estimators, which need scikit-learn, are imported when they are asked for."""
    if name not in ("NTKClassifier", "NTKRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import sklearn
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name} is a scikit-learn estimator, and scikit-learn is not installed; "
            "pip install 'tangency[sklearn]'",
            name=error.name,
        ) from error
    return getattr(sklearn, name)
