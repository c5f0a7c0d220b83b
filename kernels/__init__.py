"""Kernels of networks: layer descriptions, engines, and the one call in front of them."""

from .kernel import ExactKernel, Kernels
from .matrix import compute, compute_diagonal

__all__ = ["ExactKernel", "Kernels", "compute", "compute_diagonal"]
