"""Kernels of networks: layer descriptions, engines, and one call before them all."""

from .kernel import ExactKernel
from .matrix import compute, compute_diagonal
from .results import Kernels

__all__ = ["ExactKernel", "Kernels", "compute", "compute_diagonal"]
