"""Which programs have no Triton kernels, and why."""

from ..encode_activation import NoDual, dual_of
from ..program import Activate, Pool, Program, Stage
from .dense_program import dense_program
from .encoding import parameters

# Pixels of a row at most; with more of them the compiler spills registers.
WIDEST = 128


def why_not(program: Program) -> str | None:
    """Why ``program`` has no kernels, in words; None where it has."""
    if program.one_pixel:
        try:
            dense_program(program)
        except NoDual as error:
            return str(error)
        return None
    for stage in program.stages:
        high, wide = stage.shape
        if wide > WIDEST:
            return (
                f"images of {high} x {wide} pixels are too wide: a warp has a row of "
                f"{WIDEST} pixels in its registers at most; use engine='planes' on the "
                "CPU or engine='exact'"
            )
        reason = _wraps_twice(stage)
        if reason:
            return reason
    ops = [op for stage in program.stages for op in stage.ops]
    try:
        for op in ops:
            if isinstance(op, Activate):
                parameters(dual_of(op.activation))
    except NoDual as error:
        return str(error)
    return None


def _wraps_twice(stage: Stage) -> str | None:
    """Whether the window of a circular pool holds a pixel more than once."""
    pool = stage.pool
    if not isinstance(pool, Pool) or not pool.circular:
        return None
    for taps, pixels in zip(pool.window, stage.shapes[-1], strict=True):
        if taps > pixels:
            return (
                f"a circular window of {taps} pixels on an axis of {pixels} holds a "
                "pixel more than once; use engine='planes' on the CPU or engine='exact'"
            )
    return None
