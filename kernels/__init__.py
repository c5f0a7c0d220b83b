"""Kernels of networks: layer descriptions, engines, and one call before them all."""

from . import finite
from .finite import *  # noqa: F403
from .kernel import ExactKernel
from .matrix import (
    KernelMatrix,
    MissingTileError,
    StoreMismatchError,
    TiledMatrix,
    WorkersLostError,
    compute,
    compute_diagonal,
    compute_gradient,
    open_matrix,
    resume_matrix,
    verify_matrix,
)
from .results import Kernels

__all__ = [
    "ExactKernel",
    "KernelMatrix",
    "Kernels",
    "MissingTileError",
    "StoreMismatchError",
    "TiledMatrix",
    "WorkersLostError",
    "compute",
    "compute_diagonal",
    "compute_gradient",
    "open_matrix",
    "resume_matrix",
    "verify_matrix",
    *finite.__all__,
]
