"""Finite networks, and the empirical kernels of any function.

Framework code lives in the folders named after the frameworks; nothing here imports
them until they are needed.
"""

from .kernel import EmpiricalKernel
from .lanczos import Spectrum
from .monte_carlo import Estimate, MonteCarloKernel
from .networks import apply, init, to_torch
from .outputs import Projection
from .products import linearize, ntk_spectrum, ntk_vector_product, taylor_expand
from .report import Explanation

__all__ = [
    "EmpiricalKernel",
    "Estimate",
    "Explanation",
    "MonteCarloKernel",
    "Projection",
    "Spectrum",
    "apply",
    "init",
    "linearize",
    "ntk_spectrum",
    "ntk_vector_product",
    "taylor_expand",
    "to_torch",
]
