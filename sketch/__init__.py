"""Sketches: features whose inner products are close to the NNGP and NTK."""

from typing import Any

from . import pooling, rules  # noqa: F401  (registers them)
from .kernel import SketchedKernel

__all__ = ["SketchedKernel"]


def __getattr__(name: str) -> Any:
    """``NTKFeatures``, which needs scikit-learn, is imported when it is asked for."""
    if name != "NTKFeatures":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .sklearn_features import NTKFeatures
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "NTKFeatures is a scikit-learn transformer, and scikit-learn is not "
            "installed; pip install scikit-learn"
        ) from error
    return NTKFeatures
