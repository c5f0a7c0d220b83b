"""Landmarks by randomly pivoted Cholesky factorisation."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular

# Proposals per round, out of one block of columns of the kernel.
BLOCK = 64
# Residuals below this fraction of the trace are rounding errors.
NOTHING = 1e-10


def rpcholesky(
    columns: Callable[[np.ndarray], np.ndarray],
    diagonal: np.ndarray,
    m: int,
    rng: np.random.Generator,
) -> np.ndarray:
    r"""Indices of at most m landmarks of a kernel matrix K ``[n, n]``.

    The next landmark is drawn with probability proportional to the diagonal of what
    the landmarks so far leave of K. The expected trace of the rest after m landmarks is
    at most about that of the best approximation of a slightly lower rank. Fewer than m
    come back where K has no more to give.

    Proposals come in blocks and are accepted with probability (residual now) /
    (residual when proposed), which is the same distribution as one at a time.

    Args:
        columns: ``indices [b] -> K[:, indices]``, ``[n, b]`` in float64.
        diagonal: of K, ``[n]``.
        m: how many landmarks are wanted.
        rng: draws the pivots.

    Reference: Chen et al. 2022 (2207.06503), theorem 5.1; Epperly et al. 2024
    (2410.03969), algorithm 2.2.

    >>> k = np.diag([4.0, 0.0, 9.0])
    >>> pivots = rpcholesky(lambda i: k[:, i], np.diag(k), 3, np.random.default_rng(0))
    >>> sorted(pivots.tolist())
    [0, 2]
    """
    n = len(diagonal)
    residual = np.maximum(diagonal, 0.0)
    floor = NOTHING * residual.sum()
    factor = np.zeros((n, m))
    chosen: list[int] = []
    while len(chosen) < m and residual.sum() > floor:
        proposed = rng.choice(n, BLOCK, p=residual / residual.sum())
        done = factor[:, : len(chosen)]
        block = columns(proposed) - done @ done[proposed].T
        kept, lower = _accepted(block[proposed], residual[proposed], rng)
        if not kept:
            # The first is refused only if what is left of it is far less than thought.
            residual[proposed] = 0.0
            continue
        kept = kept[: m - len(chosen)]
        lower = lower[: len(kept), : len(kept)]
        new = solve_triangular(lower, block[:, kept].T, lower=True).T
        factor[:, len(chosen) : len(chosen) + len(kept)] = new
        residual = np.maximum(residual - (new * new).sum(axis=1), 0.0)
        chosen += proposed[kept].tolist()
        # What is left of a landmark is rounding error.
        residual[chosen] = 0.0
    return np.asarray(chosen, dtype=np.int64)


def _accepted(
    k: np.ndarray, residual: np.ndarray, rng: np.random.Generator
) -> tuple[list[int], np.ndarray]:
    """Rejection sampling on one block ``[b, b]``: the proposals that are accepted, and
    the Cholesky factor of their block."""
    b = len(k)
    k = k.copy()
    luck = rng.random(b) * residual
    kept: list[int] = []
    columns = np.zeros((b, b))
    for i in range(b):
        if k[i, i] > max(luck[i], NOTHING * residual[i]):
            column = k[:, i] / np.sqrt(k[i, i])
            k -= np.outer(column, column)
            columns[:, len(kept)] = column
            kept.append(i)
    return kept, np.tril(columns[kept][:, : len(kept)])
