"""Sketches: features whose inner products are close to the NNGP and NTK."""

from . import pooling, rules  # noqa: F401  (registers them)
from .kernel import SketchedKernel

__all__ = ["SketchedKernel"]
