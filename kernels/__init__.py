"""Kernels of networks: layer descriptions, engines, and the one call in front of them."""

from .kernel import ExactKernel, Kernels

__all__ = ["ExactKernel", "Kernels"]
