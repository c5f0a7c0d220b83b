"""Nystrom features: the kernel with landmarks, made orthonormal."""

import numpy as np

# Directions of the landmarks' span with less of its trace are left out: in float32 they
# would be rounding errors.
RANK = 1e-7


def whitener(k: np.ndarray) -> np.ndarray:
    r"""R with K(x, Z) R R^T K(Z, x') the projection of K onto the landmarks Z.

    .. math::
        K = K(Z, Z) = S \hat K S, \quad \hat K = V \Lambda V^T, \quad
        R = S^{-1} V \Lambda^{-1/2},

    with S^2 the diagonal, so that the scale of a landmark does not matter. Then
    R^T K R = I exactly, K(x, Z) R is no larger than the kernel in the PSD order, and
    what is left can be estimated without bias.

    Args:
        k: K(Z, Z), ``[m, m]`` in float64.

    Returns:
        R, ``[m, r]`` with r <= m; one column of zeros for a kernel that is zero.

    >>> R = whitener(np.asarray([[4.0, 2.0], [2.0, 1.0]]))
    >>> R.shape
    (2, 1)
    """
    scale = np.sqrt(np.diagonal(k))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    if not scale.any():
        return np.zeros((len(k), 1))
    values, vectors = np.linalg.eigh(inverse[:, None] * k * inverse)
    kept = values > RANK * values.sum()
    return inverse[:, None] * vectors[:, kept] * values[kept] ** -0.5
