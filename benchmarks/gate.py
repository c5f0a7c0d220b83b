"""The gate: a wrong result is not timed."""

from dataclasses import dataclass

import numpy as np


class WrongResult(Exception):
    """A contender's result is not the reference's."""


@dataclass(frozen=True)
class Verdict:
    """How far a result is from the reference, and how far it may be (max. norm)."""

    reference: str
    error: float
    tolerance: float


def relative_error(result: np.ndarray, reference: np.ndarray) -> float:
    """max |result - reference| / max |reference|; inf where anything is not finite."""
    result = np.asarray(result, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    if result.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(result).all() and np.isfinite(reference).all()):
        return float("inf")
    scale = np.abs(reference).max()
    return float(np.abs(result - reference).max() / scale) if scale else float("inf")


def check(
    result: np.ndarray, reference: np.ndarray, tolerance: float, name: str
) -> Verdict:
    """The verdict on a right result.

    Args:
        result, reference: arrays of one shape; the reference in float64.
        tolerance: largest ``relative_error`` allowed.
        name: who computed the reference.

    Raises:
        WrongResult: the error is larger, the shapes differ, or a value is not finite.
    """
    error = relative_error(result, reference)
    if not error <= tolerance:
        raise WrongResult(
            f"relative error {error:.2e} against {name}, expected at most "
            f"{tolerance:.0e} (shapes {np.shape(result)} and {np.shape(reference)}); "
            "nothing was timed"
        )
    return Verdict(name, error, tolerance)
