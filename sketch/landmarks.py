"""Joint landmarks of an activation's two kernels, out of candidates from the sample."""

from dataclasses import dataclass

import numpy as np

from ..dual_activations import Activation
from .candidates import Candidates
from .nystrom import whitener
from .rpcholesky import rpcholesky


@dataclass(frozen=True)
class Landmarks:
    """m pixels of the sample, with K = k(p, q, c) and Theta = theta k_dot(p, q, c).

    Args:
        phi: their features before the activation, ``[m, d]``.
        psi: their features of the NTK without the shared part, ``[m, e]``.
        share: how much of phi . phi' is in theta.
        p: their variances, ``[m]``.
        nngp: makes the kernel with them orthonormal, ``[m, r]``.
        ntk: likewise for the NTK.
    """

    phi: np.ndarray
    psi: np.ndarray
    share: float
    p: np.ndarray
    nngp: np.ndarray
    ntk: np.ndarray

    @property
    def all_psi(self) -> np.ndarray:
        """All their features of the NTK, ``[m, e + d]`` or ``[m, e]``."""
        if not self.share:
            return self.psi
        return np.concatenate([self.psi, self.share**0.5 * self.phi], axis=1)


def choose_landmarks(
    activation: Activation,
    candidates: Candidates,
    share: float,
    m: int,
    rng: np.random.Generator,
) -> Landmarks:
    """At most m landmarks, by randomly pivoted Cholesky on the sum of both kernels,
    each divided by its trace; so that one set serves both, and one projection."""
    phi, psi = (a.astype(np.float64) for a in (candidates.phi, candidates.psi))
    p = (phi * phi).sum(axis=1)
    theta = share * p + (psi * psi).sum(axis=1)
    value, slope = activation.value_and_derivative(p, p, p)
    traces = value.sum(), (theta * slope).sum()
    if not traces[0] > 0:
        raise ValueError(
            f"sample: it is zero before {type(activation).__name__}, so that there is "
            "no landmark in it; pass inputs like those to come, or add a bias"
        )
    weights = [1 / t if t > 0 else 0.0 for t in traces]

    def kernels(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c = phi[rows] @ phi[columns].T
        k, k_dot = activation.value_and_derivative(p[rows, None], p[columns], c)
        return k, (share * c + psi[rows] @ psi[columns].T) * k_dot

    def total(columns: np.ndarray) -> np.ndarray:
        everything = np.arange(len(phi))
        k, t = kernels(everything, columns)
        return weights[0] * k + weights[1] * t

    diagonal = weights[0] * value + weights[1] * theta * slope
    chosen = rpcholesky(total, diagonal, m, rng)
    k, t = kernels(chosen, chosen)
    return Landmarks(
        phi[chosen], psi[chosen], share, p[chosen], whitener(k), whitener(t)
    )
