"""Neural kernels at any width."""

from typing import Any

from . import (
    datasets,
    distillation,
    dual_activations,
    kernels,
    regression,
    sketch,
)
from .datasets import *  # noqa: F403
from .distillation import *  # noqa: F403
from .dual_activations import *  # noqa: F403
from .kernels import *  # noqa: F403
from .kernels import layers
from .kernels.layers import *  # noqa: F403
from .regression import *  # noqa: F403
from .sketch import *  # noqa: F403

__version__ = "0.1.0"
__all__ = [
    "__version__",
    *datasets.__all__,
    *distillation.__all__,
    *dual_activations.__all__,
    *kernels.__all__,
    *layers.__all__,
    *regression.__all__,
    *sketch.__all__,
]


def __getattr__(name: str) -> Any:
    """What needs an extra is imported by its room when it is asked for."""
    if name == "NTKFeatures":
        return sketch.NTKFeatures
    if name in ("NTKClassifier", "NTKRegressor"):
        return getattr(regression, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
