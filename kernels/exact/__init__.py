"""The exact engine: one covariance rule per layer, in any array backend."""

from . import branching, elementwise, pooling, weights  # noqa: F401  (register rules)
from .engine import covariances

__all__ = ["covariances"]
