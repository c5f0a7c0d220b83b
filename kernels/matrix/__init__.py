"""A kernel over a whole dataset, tile by tile."""

from .compute import compute, compute_diagonal

__all__ = ["compute", "compute_diagonal"]
