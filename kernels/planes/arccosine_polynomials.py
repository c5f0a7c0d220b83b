r"""The polynomials in the duals of rectified powers max(x, 0)^n."""

import numpy as np

from ...dual_activations.polynomials import power_coefficients


def arccosine_polynomials(highest: int) -> tuple[np.ndarray, np.ndarray]:
    r"""A and B, ``[n, power]``, with 2 pi k(1, 1, rho) = J_n,

    J_n = A_n(rho) (pi - theta) + B_n(rho) sin(theta). A_n is the dual of x^n, and
    J_n' = n^2 J_{n-1} gives (1 - rho^2)(B_n' - n^2 B_{n-1}) - rho B_n + A_n = 0.

    Reference: Cho & Saul 2009, eq. 4, in closed form.
    """
    A, B = np.zeros((2, highest + 1, highest + 2))
    for n in range(highest + 1):
        A[n, : n + 1] = power_coefficients(n)
        lower = n * n * B[n - 1] if n else B[0]
        right = lower - A[n]
        right[2:] -= lower[:-2]
        for i in range(n, 0, -1):
            B[n, i - 1] = ((i + 1) * B[n, i + 1] - right[i]) / i
    return A, B
