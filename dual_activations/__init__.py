"""Dual activations: E[f(u) f(v)] and E[f'(u) f'(v)] for Gaussian pairs.

Knows nothing of networks.
"""

from .base import Activation
from .rectifiers import ABRelu, Relu

__all__ = ["ABRelu", "Activation", "Relu"]
