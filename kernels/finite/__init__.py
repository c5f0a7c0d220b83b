"""Finite networks, and the empirical kernels of any function.

Framework code lives in the folders named after the frameworks; nothing here imports
them until arrays of theirs arrive.
"""

from .kernel import EmpiricalKernel
from .outputs import Projection

__all__ = ["EmpiricalKernel", "Projection"]
