"""One call for all solvers of (K + ridge I) x = y."""

from typing import Any

import numpy as np

from ..kernels.matrix.progress import progress_bar
from .block_coordinate import block_coordinate
from .conjugate_gradients import conjugate_gradients
from .factor import factor
from .matrices import symmetric_matrix, targets
from .preconditioners import PRECONDITIONERS
from .report import Report, Solution, relative_residuals
from .ridge import diagonal_shift

SOLVERS = ("auto", "cholesky", "pcg", "block")
# A factor in memory up to here, on disk up to there.
IN_MEMORY, ON_DISK = 20_000, 100_000


def solve(
    k: Any,
    y: Any,
    ridge: float = 0.0,
    ridge_scale: str = "trace",
    solver: str = "auto",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    preconditioner: str | None = "nystrom",
    rank: int = 100,
    block: int | None = None,
    seed: int = 0,
    checkpoint: Any = None,
    scratch: Any = None,
    progress: bool = False,
) -> Solution:
    """Solve (K + ridge I) x = y, and say how well.

    ``solver="auto"`` is a Cholesky factor, in memory up to 20,000 rows and out of core
    up to 100,000. Beyond, an iterative solver has to be asked for by name: nothing is
    solved to a looser tolerance without being told.

    Args:
        k: a symmetric array ``[n, n]``, a matrix on disk (``open_matrix``), or one that
            is computed as it is read (``KernelMatrix``).
        y: ``[n]`` or ``[n, outputs]``.
        ridge, ridge_scale: as in ``Posterior.fit``.
        solver: "auto", "cholesky", "pcg" (preconditioned conjugate gradients), or
            "block" (accelerated block coordinate descent), which reads one block row at
            a time.
        tolerance: of the iterative solvers: of |(K + ridge I) x - y| relative to |y|,
            for each column.
        max_iterations: of "pcg", for each column; of "block", passes over the matrix.
        preconditioner: of "pcg": "nystrom", "rpcholesky" or None.
        rank: of the preconditioner.
        block: rows of a block of "block"; None for a quarter of the rows, as far as a
            gigabyte reaches.
        seed: of what is random.
        checkpoint: of the iterative solvers, a file (``.npz``) from which a killed
            solve goes on.
        scratch: of "cholesky", a folder with room for 4 n^2 bytes; see
            ``factorise_tiled``.
        progress: whether to show a bar.

    Raises:
        NotPositiveDefiniteError: k is no kernel matrix.
        NotConvergedError: an iterative solver did not reach the tolerance.

    >>> import numpy as np
    >>> solution = solve(np.eye(2), np.asarray([2.0, 4.0]), ridge=1.0)
    >>> np.round(solution.x, 12).tolist(), solution.report.solver
    ([1.0, 2.0], 'cholesky')
    """
    k = symmetric_matrix("k", k)
    y, is_vector = targets(y, len(k))
    shift = diagonal_shift(k, ridge, ridge_scale)
    solver = _chosen(solver, len(k))
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance!r}, expected a number in (0, 1)")
    if max_iterations < 1 or rank < 1 or (block is not None and block < 1):
        raise ValueError(
            f"max_iterations is {max_iterations!r}, rank {rank!r} and block {block!r}, "
            "expected integers >= 1"
        )
    if solver == "cholesky":
        solution = _by_cholesky(k, y, shift, scratch, progress)
        return _shaped(solution, is_vector)
    inverse = None
    if solver == "pcg":
        inverse = _preconditioner(preconditioner, k, rank, shift, seed)
    with progress_bar(max_iterations, solver, "step", progress) as advance:
        if solver == "block":
            solution = block_coordinate(
                k, y, shift, block, tolerance, max_iterations, seed, checkpoint, advance
            )
        else:
            solution = conjugate_gradients(
                k, y, shift, inverse, tolerance, max_iterations, checkpoint,
                advance=advance,
            )  # fmt: skip
    return _shaped(solution, is_vector)


def _shaped(solution: Solution, is_vector: bool) -> Solution:
    x = solution.x[:, 0] if is_vector else solution.x
    return Solution(x, solution.report)


def _chosen(solver: str, n: int) -> str:
    if solver not in SOLVERS:
        raise ValueError(f"solver is {solver!r}, expected one of {SOLVERS}")
    if solver == "auto" and n > ON_DISK:
        raise ValueError(
            f"solver is 'auto' for {n} rows, expected at most {ON_DISK}: a factor "
            "would take days; choose solver='pcg' or 'block' (with a checkpoint), and "
            "see the residuals in the report"
        )
    return "cholesky" if solver == "auto" else solver


def _by_cholesky(
    k: Any, y: np.ndarray, shift: float, scratch: Any, progress: bool
) -> Solution:
    if len(k) <= IN_MEMORY and scratch is None:
        k = np.asarray(k, dtype=np.float64)
    found = factor(k, shift, scratch, progress)
    x = found.solve(y)
    residuals = relative_residuals(k, shift, x, y)[1]
    none = np.zeros(y.shape[1], dtype=int)
    report = Report("cholesky", residuals, none, found.jitter, found.condition)
    return Solution(x, report)


def _preconditioner(name: Any, k: Any, rank: int, shift: float, seed: int) -> Any:
    if name is None:
        return None
    if name not in PRECONDITIONERS:
        raise ValueError(
            f"preconditioner is {name!r}, expected None or one of "
            f"{tuple(PRECONDITIONERS)}"
        )
    return PRECONDITIONERS[name](k, rank, shift, seed)
