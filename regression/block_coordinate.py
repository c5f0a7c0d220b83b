r"""Accelerated block coordinate descent: one block row of the matrix at a time.

A step solves the equations of a random block B of rows exactly, all else held fixed,
and Nesterov's acceleration carries the step on:

.. math:: d = A_{BB}^{-1} (A_{B:} z - y_B), \quad w = z - I_B d, \quad
    v \leftarrow \beta v + (1 - \beta) z - \gamma I_B d, \quad
    z \leftarrow \alpha v + (1 - \alpha) w,

with beta = 1 - (mu/nu)^1/2, gamma = (mu nu)^-1/2 and alpha = 1 / (1 + gamma nu)
(ASkotch: Rathore et al. 2024, 2407.10070). A pass over the matrix takes the blocks of a
new random partition: on a fixed one it stalls at 1e-2. Blocks are solved by Cholesky,
not through a Nystrom approximation, so that no step size has to be estimated. The
strength mu is adapted to the convergence that is seen, as in Derezinski et al. 2025
(2501.11673).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, eigvalsh

from ..kernels.matrix import KernelMatrix
from .checkpoint import identity, load, save
from .cholesky import JITTERS, NotPositiveDefiniteError, lower_factor
from .report import NotConvergedError, Report, Solution, relative_residuals, sizes

# A block row may take this much memory, and its factor this many rows.
MEMORY, ROWS = 2**30, 2048
# Rows beside one another that are read together from disk, where a page holds 512.
RUN = 512
# Passes between two looks at the convergence, and seconds between two checkpoints.
WINDOW, SECONDS = 3, 60.0


@dataclass
class State:
    """Where the iteration stands: what a checkpoint holds.

    Two columns beside those of y serve the condition number: the last of z solves
    A z = probe, and ``power`` is multiplied by A, once in a pass.

    Args:
        z, v: the two sequences, ``[n, k + 1]``.
        power, product: a unit vector, and A times it as far as the pass has come,
            ``[n]``.
        seen: squared residuals that the pass has met, by column, ``[k + 1]``.
        mark: the largest residual at the last look.
        mu: the strength of the acceleration, in units of 1 / blocks.
        largest: estimate of the largest eigenvalue.
        passes, block: that are done.
        iterations: the pass in which a column was, or will be, seen to have converged,
            ``[k]``.
    """

    z: np.ndarray
    v: np.ndarray
    power: np.ndarray
    product: np.ndarray
    seen: np.ndarray
    mark: float = 1.0
    mu: float = 0.3
    largest: float = 0.0
    passes: int = 0
    block: int = 0
    iterations: Any = 0


def block_coordinate(
    k: Any,
    y: np.ndarray,
    shift: float,
    block: int | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    seed: int = 0,
    checkpoint: Any = None,
    advance: Callable[[int], object] = lambda step: None,
) -> Solution:
    """x in (K + shift I) x = y, until every residual is below ``tolerance`` |y|.

    Args:
        k: symmetric, anything with ``k[rows]`` and ``@``, ``[n, n]``; no more than
            ``block`` rows of it are read at a time.
        y: ``[n, k]``.
        shift: the ridge in absolute terms.
        block: rows of a block; None for what fits a gigabyte, at most 2048.
        tolerance: of the residual relative to y, for each column.
        max_iterations: passes over the matrix.
        seed: of the partitions.
        checkpoint: a file where the state is kept; if it is there, from the same
            problem, the iteration goes on from it.
        advance: is told of every pass.

    Raises:
        NotConvergedError: the passes were used up; it holds the solution so far.
        NotPositiveDefiniteError: a block has an eigenvalue well below zero.
    """
    n = len(k)
    count = -(-n // (block or default_block(n)))
    rng = np.random.default_rng(seed)
    right = np.column_stack([y, rng.standard_normal(n)])
    who = identity("block", y, [shift, seed, count])
    state = load(checkpoint, who, State) or _started(right, rng)
    keep = _Keeper(checkpoint, who)
    while True:
        blocks = list(_partition(k, count, seed, state.passes))
        for rows in blocks[state.block :]:
            _step(k, right, shift, state, rows, count)
            state.block += 1
            keep.seldom(state)
        open_columns = _end_pass(state, right, tolerance, count)
        advance(1)
        if not open_columns.any() or state.passes >= max_iterations:
            solution = _solution(k, y, shift, right, state)
            residual = solution.report.residuals.max()
            if residual <= tolerance:
                return solution
            if state.passes >= max_iterations:
                raise NotConvergedError(
                    f"after {max_iterations} passes the largest residual is "
                    f"{residual:.3g}, expected {tolerance:g}: raise max_iterations or "
                    "block, shuffle the inputs if they are sorted, or add a ridge; "
                    "nothing looser was returned",
                    solution,
                )
        keep.now(state)


class _Keeper:
    """Writes checkpoints, if there is a file for them."""

    def __init__(self, checkpoint: Any, who: str) -> None:
        self.checkpoint, self.who, self.last = checkpoint, who, time.monotonic()

    def seldom(self, state: State) -> None:
        """Once in a minute: a pass may take hours."""
        if time.monotonic() - self.last > SECONDS:
            self.now(state)

    def now(self, state: State) -> None:
        if self.checkpoint is not None:
            save(self.checkpoint, self.who, state)
        self.last = time.monotonic()


def default_block(n: int) -> int:
    """Rows of a block for ``n`` rows: a quarter of them, as far as they fit."""
    return max(1, min(-(-n // 4), ROWS, MEMORY // (8 * n)))


def _started(right: np.ndarray, rng: np.random.Generator) -> State:
    n, columns = right.shape
    power = rng.standard_normal(n)
    return State(
        z=np.zeros_like(right),
        v=np.zeros_like(right),
        power=power / np.linalg.norm(power),
        product=np.zeros(n),
        seen=np.zeros(columns),
        iterations=np.zeros(columns - 1, dtype=int),
    )


def _partition(k: Any, count: int, seed: int, number: int) -> Iterator[np.ndarray]:
    """The blocks of a pass, each with its rows in order.

    On disk rows come in runs: scattered ones would read every page for every block.
    """
    n = len(k)
    anywhere = isinstance(k, (np.ndarray, KernelMatrix))
    run = 1 if anywhere else max(1, min(RUN, n // (8 * count)))
    runs = np.array_split(np.arange(n), -(-n // run))
    order = np.random.default_rng([seed, number]).permutation(len(runs))
    for part in np.array_split(order, count):
        yield np.concatenate([runs[i] for i in np.sort(part)])


def _step(
    k: Any, right: np.ndarray, shift: float, state: State, rows: np.ndarray, count: int
) -> None:
    """One block: read its rows, solve its equations, move on with momentum."""
    a = np.array(k[rows], dtype=np.float64)
    a[np.arange(len(rows)), rows] += shift
    missed = a @ state.z - right[rows]
    state.seen += np.sum(missed**2, axis=0)
    state.product[rows] = a @ state.power
    d = cho_solve((_factor(a[:, rows]), True), missed, check_finite=False)
    nu = count
    mu = min(state.mu / count, nu) if count > 1 else 1.0
    beta, gamma = 1 - (mu / nu) ** 0.5, (mu * nu) ** -0.5
    alpha = 1 / (1 + gamma * nu)
    w = state.z.copy()
    w[rows] -= d
    state.v *= beta
    state.v += (1 - beta) * state.z
    state.v[rows] -= gamma * d
    state.z = alpha * state.v + (1 - alpha) * w


def _factor(a: np.ndarray) -> np.ndarray:
    """The Cholesky factor of a block.

    Where it is singular to rounding, a multiple of I is added: the step is a little
    shorter then, and goes to the same solution.
    """
    diagonal = a.diagonal().copy()
    for relative in JITTERS:
        shifted = a.copy()
        shifted.flat[:: len(a) + 1] += relative * diagonal.mean()
        lower = lower_factor(shifted, diagonal, len(a))
        if lower is not None:
            return lower
    lowest = float(eigvalsh(a, subset_by_index=[0, 0])[0])
    raise NotPositiveDefiniteError(
        "the matrix is not positive definite: its smallest eigenvalue is at most "
        f"{lowest:.3g}; compute the kernel in float64, or add a ridge of more than "
        f"{-min(lowest, 0):.3g} with ridge_scale='absolute'"
    )


def _end_pass(
    state: State, right: np.ndarray, tolerance: float, count: int
) -> np.ndarray:
    """Count the pass, adapt mu; which columns of y were still open as it went by."""
    residuals = np.sqrt(state.seen) / sizes(right)
    open_columns = residuals[:-1] > tolerance
    state.passes, state.block = state.passes + 1, 0
    # The next pass will tell whether they have converged.
    state.iterations[open_columns] = state.passes + 1
    state.seen[:] = 0
    state.largest = float(state.power @ state.product)
    state.power = state.product / np.linalg.norm(state.product)
    if state.passes % WINDOW == 0:
        worst = float(residuals[:-1].max())
        rate = (worst / state.mark) ** (1 / WINDOW) if state.mark > 0 else 0.0
        # What theory promises for the residual if mu is right.
        promised = (1 - state.mu**0.5 / count) ** (count / 2)
        if rate >= 1:
            state.mu = min(4 * state.mu, 1.0)
        elif rate > promised:
            state.mu = max(state.mu / 2, 0.003)
        state.mark = worst
    return open_columns


def _solution(
    k: Any, y: np.ndarray, shift: float, right: np.ndarray, state: State
) -> Solution:
    """What there is, and how good it is.

    The smallest eigenvalue is about the Rayleigh quotient of A^-1 probe, from above.
    """
    x = state.z[:, :-1].copy()
    residuals = relative_residuals(k, shift, x, y)[1]
    inverse, probe = state.z[:, -1], right[:, -1]
    smallest = float(inverse @ probe) / max(float(inverse @ inverse), 1e-300)
    condition = state.largest / smallest if smallest > 0 else float("nan")
    made = np.minimum(state.iterations, state.passes)
    return Solution(x, Report("block", residuals, made, 0.0, condition))
