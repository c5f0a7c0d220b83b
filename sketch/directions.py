"""Random directions for random features: orthogonal ones, in antithetic pairs."""

import numpy as np


def directions(
    rng: np.random.Generator, d: int, m: int, constant: bool, paired: bool
) -> np.ndarray:
    r"""Columns w with E[w w^T] = I, orthogonal in blocks of d, ``[d, m]``.

    Every column alone is uniform on a sphere. Orthogonality makes the columns
    negatively dependent, which reduces the variance of what is averaged over them.

    Args:
        constant: whether all norms are sqrt(d), which is right for functions that are
            positively homogeneous of degree 1; otherwise they are those of Gaussian
            vectors, and every column is N(0, I).
        paired: whether to take w and -w, by which odd powers are exact.

    Reference: Yu et al. 2016 (1610.09072), section 3, for orthogonal Gaussian vectors;
    Choromanski et al. 2021 (2009.14794), section 3, for homogeneous functions.
    """
    half = -(-m // 2) if paired else m
    blocks = [_orthogonal(rng, d, min(d, half - i)) for i in range(0, half, d)]
    w = np.concatenate(blocks, axis=1)
    norms = np.sqrt(d if constant else rng.chisquare(d, half))
    w = w * norms
    return np.concatenate([w, -w[:, : m - half]], axis=1) if paired else w


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Independent +1 and -1."""
    return rng.integers(0, 2, shape) * 2.0 - 1.0


def _orthogonal(rng: np.random.Generator, d: int, m: int) -> np.ndarray:
    """m <= d orthonormal columns, uniformly distributed."""
    q, r = np.linalg.qr(rng.standard_normal((d, m)))
    # Without these signs, QR does not give the uniform distribution.
    return q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
