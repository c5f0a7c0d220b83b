"""A kernel over a whole dataset, tile by tile."""

from .compute import compute, compute_diagonal
from .execution import WorkersLostError
from .gradients import compute_gradient
from .lazy import KernelMatrix
from .opening import open_matrix, resume_matrix, verify_matrix
from .store import MissingTileError, StoreMismatchError
from .stored import StoredMatrix
from .tiled import TiledMatrix

__all__ = [
    "KernelMatrix",
    "MissingTileError",
    "StoreMismatchError",
    "StoredMatrix",
    "TiledMatrix",
    "WorkersLostError",
    "compute",
    "compute_diagonal",
    "compute_gradient",
    "open_matrix",
    "resume_matrix",
    "verify_matrix",
]
