"""Features as a preconditioner of conjugate gradients on the exact kernel."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .matrices import matrix
from .ridge import checked_ridge


def feature_preconditioner(z: Any, ridge: float) -> LinearOperator:
    r"""(Z Z^T + ridge I)^{-1} as a linear operator, close to (K + ridge I)^{-1}.

    .. math:: Z = U S V^T: \qquad
        v \to \frac1\lambda \left[v - U \frac{S^2}{S^2 + \lambda} U^T v\right].

    Args:
        z: features ``[n, r]`` of the training inputs, with K close to Z Z^T.
        ridge: lambda > 0, in absolute terms: what is on the diagonal of the system.

    Returns:
        An operator ``[n, n]``, to be passed as ``M`` to ``scipy.sparse.linalg.cg``.

    Reference: Diaz et al. 2023 (2304.12465), algorithm 2 (RPCholesky preconditioning).

    >>> import numpy as np
    >>> M = feature_preconditioner(np.asarray([[1.0], [0.0]]), ridge=1.0)
    >>> (M @ np.asarray([4.0, 4.0])).tolist()
    [2.0, 4.0]
    """
    z = matrix("z", z)
    if checked_ridge(ridge) == 0:
        raise ValueError(
            "ridge is 0, expected a number > 0: features of a lower rank than the "
            "kernel have no inverse without it"
        )
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    shrink = (s**2 / (s**2 + ridge))[:, None]

    def apply(v: np.ndarray) -> np.ndarray:
        v = v.reshape(len(z), -1)
        return (v - u @ (shrink * (u.T @ v))) / ridge

    return LinearOperator(
        (len(z), len(z)),
        matvec=lambda v: apply(v)[:, 0],
        matmat=apply,
        rmatvec=lambda v: apply(v)[:, 0],
        rmatmat=apply,
        dtype=np.float64,
    )
