"""Preconditioned conjugate gradients for many right-hand sides at once.

The columns share every product with K and nothing else: each has its own step lengths,
and leaves when it has converged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checkpoint import identity, load, save
from .cholesky import NotPositiveDefiniteError
from .preconditioners import LowRank
from .report import NotConvergedError, Report, Solution, relative_residuals, sizes

# The recursion stops a little below the tolerance, since it drifts from the truth.
AIM = 0.9


@dataclass
class State:
    """Where the iteration stands: what a checkpoint holds.

    Args:
        x, r, p: solution, residual and direction, ``[n, k]``.
        rz: r^T M^-1 r of every column, ``[k]``.
        iterations: of every column, ``[k]``.
        steps, turns: the lengths alpha and beta of the first column, before a restart.
        restarted: whether the recursion was started again.
    """

    x: np.ndarray
    r: np.ndarray
    p: np.ndarray
    rz: np.ndarray
    iterations: np.ndarray
    steps: np.ndarray
    turns: np.ndarray
    restarted: bool = False


def conjugate_gradients(
    k: Any,
    y: np.ndarray,
    shift: float,
    preconditioner: LowRank | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    checkpoint: Any = None,
    every: int = 10,
    advance: Callable[[int], object] = lambda step: None,
) -> Solution:
    """x in (K + shift I) x = y, until every residual is below ``tolerance`` |y|.

    Args:
        k: symmetric, anything with ``@``, ``[n, n]``.
        y: ``[n, k]``.
        shift: the ridge in absolute terms.
        preconditioner: M^-1; None for none.
        tolerance: of the residual relative to y, for each column.
        max_iterations: of each column.
        checkpoint: a file where the state is kept; if it is there, from the same
            problem, the iteration goes on from it.
        every: iterations between two checkpoints.
        advance: is told of every iteration.

    Raises:
        NotConvergedError: the iterations were used up; it holds the solution so far.
        NotPositiveDefiniteError: a direction of negative curvature was met.

    Reference: Golub & Van Loan 2013, algorithm 11.5.1.
    """
    precondition = preconditioner or (lambda r: r)
    values = [] if preconditioner is None else preconditioner.values
    who = identity("pcg", y, [shift], values)
    state = load(checkpoint, who, State) or _started(y, precondition)
    norms = sizes(y)
    while True:
        active = np.linalg.norm(state.r, axis=0) > AIM * tolerance * norms
        if not active.any():
            # The recursion drifts away from the truth: look, and start again from x.
            missed, residuals = relative_residuals(k, shift, state.x, y)
            if np.all(residuals <= tolerance):
                break
            fresh = _started(missed, precondition)
            state.r, state.p, state.rz = fresh.r, fresh.p, fresh.rz
            active, state.restarted = residuals > tolerance, True
        if np.any(state.iterations[active] >= max_iterations):
            _, residuals = relative_residuals(k, shift, state.x, y)
            raise NotConvergedError(
                f"after {max_iterations} iterations the largest residual is "
                f"{residuals.max():.3g}, expected {tolerance:g}: raise max_iterations "
                "or the rank of the preconditioner, or add a ridge; nothing looser was "
                "returned",
                Solution(state.x, _report(state, residuals, preconditioner)),
            )
        _step(k, shift, precondition, state, active)
        advance(1)
        if checkpoint is not None and state.iterations.max() % every == 0:
            save(checkpoint, who, state)
    return Solution(state.x, _report(state, residuals, preconditioner))


def _started(y: np.ndarray, precondition: Callable[..., np.ndarray]) -> State:
    z = precondition(y)
    count = np.zeros(y.shape[1], dtype=int)
    none = np.zeros(0)
    return State(
        np.zeros_like(y), y.copy(), z.copy(), np.sum(y * z, axis=0), count, none, none
    )


def _step(
    k: Any,
    shift: float,
    precondition: Callable[..., np.ndarray],
    state: State,
    active: np.ndarray,
) -> None:
    """One iteration of the columns that are ``active``."""
    p = state.p[:, active]
    q = k @ p + shift * p
    curvature = np.sum(p * q, axis=0)
    if np.any(curvature <= 0):
        lowest = np.min(curvature / np.sum(p * p, axis=0))
        raise NotPositiveDefiniteError(
            "the matrix is not positive definite: its smallest eigenvalue is at most "
            f"{lowest:.3g}; compute the kernel in float64, or add a ridge of more than "
            f"{-min(lowest, 0):.3g} with ridge_scale='absolute'"
        )
    alpha = state.rz[active] / curvature
    state.x[:, active] += alpha * p
    state.r[:, active] -= alpha * q
    z = precondition(state.r[:, active])
    rz = np.sum(state.r[:, active] * z, axis=0)
    beta = rz / state.rz[active]
    state.p[:, active] = z + beta * p
    state.rz[active] = rz
    state.iterations[active] += 1
    if active[0] and not state.restarted:
        state.steps = np.append(state.steps, alpha[0])
        state.turns = np.append(state.turns, beta[0])


def _report(state: State, residuals: np.ndarray, preconditioner: Any) -> Report:
    return Report(
        "pcg", residuals, state.iterations, 0.0, _condition(state, preconditioner)
    )


def _condition(state: State, preconditioner: LowRank | None) -> float:
    """From the Lanczos matrix that the step lengths make: eigenvalues of M^-1 A
    (Golub & Van Loan 2013, section 11.3.5)."""
    if not len(state.steps):
        return float("nan")
    diagonal = 1 / state.steps
    diagonal[1:] += state.turns[:-1] / state.steps[:-1]
    beside = np.sqrt(state.turns[:-1]) / state.steps[:-1]
    lanczos = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    ritz = np.linalg.eigvalsh(lanczos)
    if preconditioner is None:
        return float(ritz[-1] / ritz[0])
    # M is 1 outside of U: the smallest eigenvalue of A is about the smallest of M^-1 A.
    largest = preconditioner.values[0] + preconditioner.shift
    return float(max(largest, ritz[-1]) / ritz[0])
