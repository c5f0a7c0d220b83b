r"""Preconditioners from a low-rank approximation K ~ U diag(w) U^T.

.. math:: M^{-1} = (w_r + \lambda) U (W + \lambda)^{-1} U^T + (I - U U^T)

leaves alone what the approximation does not know, and makes its part as small as the
smallest eigenvalue that it knows (Frangella, Tropp & Udell 2023, 2110.02820, eq. 1.3).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import cholesky, qr, solve_triangular, svd


@dataclass(frozen=True)
class LowRank:
    """M^-1 of K + shift I, from an approximation of K.

    Args:
        vectors: U, ``[n, r]``.
        values: w, descending, ``[r]``.
        shift: lambda >= 0.
        floor: the eigenvalue that is given to all directions of U.
    """

    vectors: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    shift: float
    floor: float

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """M^-1 r, ``[n, k]``."""
        gain = self.floor / (self.values + self.shift) - 1
        return r + self.vectors @ (gain[:, None] * (self.vectors.T @ r))


def nystrom(k: Any, rank: int, shift: float, seed: int = 0) -> LowRank:
    """The randomised Nystrom preconditioner: one product of K with ``rank`` vectors.

    Args:
        k: symmetric, anything with ``@``, ``[n, n]``.
        rank: of the approximation, >= 1.
        shift: lambda.
        seed: of the random test vectors.

    Reference: Frangella, Tropp & Udell 2023 (2110.02820), algorithm 2.1.
    """
    n = len(k)
    rank = min(rank, n)
    rng = np.random.default_rng(seed)
    test = qr(rng.standard_normal((n, rank)), mode="economic")[0]
    sketch = k @ test
    # A multiple of I makes the core positive definite, and is taken off again.
    nudge = np.finfo(float).eps * np.linalg.norm(sketch) * np.sqrt(n)
    sketch = sketch + nudge * test
    core = test.T @ sketch
    lower = cholesky((core + core.T) / 2, lower=True)
    half = solve_triangular(lower, sketch.T, lower=True).T
    vectors, roots, _ = svd(half, full_matrices=False)
    values = np.maximum(roots**2 - nudge, 0.0)
    return LowRank(vectors, values, shift, max(values[-1] + shift, nudge))


def rp_cholesky(k: Any, rank: int, shift: float, seed: int = 0) -> LowRank:
    """Randomly pivoted Cholesky: ``rank`` columns of K, drawn as the diagonal of what
    they do not explain says.

    Args:
        k: symmetric, anything with ``[:, columns]`` and ``diagonal()``, ``[n, n]``.
        rank, shift, seed: as in ``nystrom``.

    Reference: Chen, Epperly, Tropp & Webber 2025 (2207.06503), algorithm 2, with
    columns drawn in blocks.
    """
    n = len(k)
    rank = min(rank, n)
    rng = np.random.default_rng(seed)
    rest = np.array(k.diagonal(), dtype=np.float64)
    scale, factor = rest.sum(), np.zeros((n, rank))
    filled = 0
    while filled < rank and rest.sum() > n * np.finfo(float).eps * scale:
        draws = max(1, min(rank - filled, rank // 10))
        picks = np.unique(rng.choice(n, draws, p=rest / rest.sum()))
        new = slice(filled, filled + len(picks))
        old = factor[:, :filled]
        columns = k[:, picks] - old @ old[picks].T
        core = columns[picks]
        core.flat[:: len(core) + 1] += np.finfo(float).eps * n * np.trace(core)
        lower = cholesky((core + core.T) / 2, lower=True)
        factor[:, new] = solve_triangular(lower, columns.T, lower=True).T
        rest = np.maximum(rest - np.sum(factor[:, new] ** 2, axis=1), 0.0)
        filled = new.stop
    vectors, roots, _ = svd(factor[:, :filled], full_matrices=False)
    # What is not explained stands in for a ridge of zero.
    floor = shift + rest.sum() / n
    return LowRank(vectors, roots**2, shift, max(floor, np.finfo(float).eps * scale))


PRECONDITIONERS = {"nystrom": nystrom, "rpcholesky": rp_cholesky}
