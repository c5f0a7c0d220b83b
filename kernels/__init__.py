"""Kernels of networks: layer descriptions, engines, and one call before them all."""

from .finite import EmpiricalKernel, Projection
from .kernel import ExactKernel
from .matrix import (
    MissingTileError,
    StoreMismatchError,
    TiledMatrix,
    WorkersLostError,
    compute,
    compute_diagonal,
    open_matrix,
    resume_matrix,
    verify_matrix,
)
from .results import Kernels

__all__ = [
    "EmpiricalKernel",
    "ExactKernel",
    "Kernels",
    "MissingTileError",
    "Projection",
    "StoreMismatchError",
    "TiledMatrix",
    "WorkersLostError",
    "compute",
    "compute_diagonal",
    "open_matrix",
    "resume_matrix",
    "verify_matrix",
]
