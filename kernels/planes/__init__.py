"""Exact convolutional kernels, plane by plane: fused, in cache, flat in memory."""

from typing import Any

from .cone import cost
from .lowering import NotPlanes, lower, why_not
from .plan import plan
from .program import Program

__all__ = ["NotPlanes", "Program", "cost", "kernel", "lower", "plan", "vjp", "why_not"]


def kernel(program: Program, *args: Any, **options: Any) -> Any:
    """NNGP and NTK of a program; see ``cpu.kernel``, which Numba compiles."""
    from .cpu import kernel as run

    return run(program, *args, **options)


def vjp(program: Program, *args: Any, **options: Any) -> Any:
    """Gradients with respect to the images; see ``cpu_vjp.vjp``."""
    from .cpu_vjp import vjp as run

    return run(program, *args, **options)
