"""The largest eigenvalues of a symmetric matrix that is only known by its products."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Vector = np.ndarray


class Spectrum(NamedTuple):
    """What is known of a spectrum without the matrix.

    Attributes:
        eigenvalues: the largest ones, in descending order.
        residuals: bounds on their errors; an eigenvalue lies within each.
        trace: estimate of the sum of all eigenvalues.
        effective_rank: estimate of tr(K)^2 / tr(K^2), between 1 and the size.
    """

    eigenvalues: np.ndarray
    residuals: np.ndarray
    trace: float
    effective_rank: float


def spectrum(
    product: Callable[[Vector], Vector],
    size: int,
    k: int,
    probes: int,
    seed: int,
    steps: int | None = None,
) -> Spectrum:
    """The top of the spectrum by Lanczos iterations, its moments by Hutchinson's.

    Args:
        product: multiplies the matrix with a vector ``[size]``.
        size: rows of the matrix.
        k: number of eigenvalues.
        probes: random vectors for the moments.
        seed: of the start and the probes.
        steps: Lanczos iterations; 2 k + 20 by default.
    """
    rng = np.random.default_rng(seed)
    steps = min(size, steps or 2 * k + 20)
    values, residuals = _lanczos(product, rng.standard_normal(size), steps, k)
    first = second = 0.0
    for _ in range(probes):
        signs = 2.0 * rng.integers(0, 2, size) - 1.0
        image = product(signs)
        first += signs @ image / probes
        second += image @ image / probes
    rank = first**2 / second if second > 0 else 0.0
    return Spectrum(values, residuals, float(first), float(min(max(rank, 0.0), size)))


def _lanczos(
    product: Callable[[Vector], Vector], start: Vector, steps: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values and residual bounds, with full reorthogonalisation.

    Reference: Parlett, The Symmetric Eigenvalue Problem, section 13.
    """
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(steps):
        w = np.array(product(basis[-1]), dtype=float)
        diagonal.append(float(basis[-1] @ w))
        known = np.stack(basis)
        # Twice is enough (Parlett): orthogonal to rounding.
        for _ in range(2):
            w -= known.T @ (known @ w)
        size = float(np.linalg.norm(w))
        beside.append(size)
        if size <= 1e-12 * max(map(abs, diagonal)):
            # An invariant subspace: its eigenvalues are exact.
            beside[-1] = 0.0
            break
        basis.append(w / size)
    inner = beside[: len(diagonal) - 1]
    tridiagonal = np.diag(diagonal) + np.diag(inner, 1) + np.diag(inner, -1)
    values, vectors = np.linalg.eigh(tridiagonal)
    top = np.argsort(values)[::-1][:k]
    return values[top], np.abs(beside[-1] * vectors[-1, top])
