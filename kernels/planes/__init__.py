"""Exact convolutional kernels, plane by plane: fused, in cache, flat in memory."""

from .cone import cost
from .lowering import NotPlanes, lower, why_not
from .plan import plan
from .program import Program

__all__ = ["NotPlanes", "Program", "cost", "lower", "plan", "why_not"]
