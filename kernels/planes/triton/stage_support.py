"""Which programs the plane kernels cannot run, and why."""

from ..encode_activation import NoDual, dual_of
from ..program import Activate, Box, Pool, Program, Stage
from .encoding import parameters
from .stage_tile import power

# Entries of a tile at most: 32 warps with four to a thread.
LARGEST = 4096


def why_not(program: Program) -> str | None:
    """Why ``program`` has no plane kernels, in words; None where it has."""
    for stage in program.stages:
        high, wide = stage.shape
        if power(high) * power(wide) > LARGEST:
            return (
                f"images of {high} x {wide} pixels are too large for the registers of "
                "a program, which hold a plane of 64 x 64; use engine='planes' on the "
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
    """Whether a circular window holds a pixel more than once."""
    windows: list[tuple[int, int]] = []
    for op in stage.ops:
        if isinstance(op, Box) and op.padding == "CIRCULAR":
            taps = zip(op.before, op.after, stage.shape, strict=True)
            windows += [(before + after + 1, n) for before, after, n in taps]
    if isinstance(stage.pool, Pool) and stage.pool.circular:
        windows += zip(stage.pool.window, stage.shapes[-1], strict=True)
    for taps, pixels in windows:
        if taps > pixels:
            return (
                f"a circular window of {taps} pixels on an axis of {pixels} holds a "
                "pixel more than once; use engine='planes' on the CPU or engine='exact'"
            )
    return None
