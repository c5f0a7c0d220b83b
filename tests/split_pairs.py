"""Expectations over Gaussian pairs by quadrature, split at any kinks."""

import numpy as np


def split_expectation(f, p, q, c, kinks):
    """E[f(u) f(v)] by composite Gauss-Legendre, split where u or the mean of v given u
    meets a kink, and in v at its kinks."""
    sd = np.sqrt(max(q - c * c / p, 0.0))
    ends = [-9.5, 9.5, *np.linspace(-9.5, 9.5, 13)]
    side = np.geomspace(0.03, 12, 7)
    steps = np.concatenate([-side, [0], side])
    for t in kinks:
        ends += [t / np.sqrt(p)]
        ends += list((t + sd * steps) * np.sqrt(p) / c) if c else []
    x, wx = panels(ends)
    total = 0.0
    for s, w in zip(x, wx, strict=True):
        mean = c / np.sqrt(p) * s
        if sd < 1e-9 * np.sqrt(q):
            inner = f(np.asarray([mean]))[0]
        else:
            y, wy = panels([*ends[:15], *((t - mean) / sd for t in kinks)])
            inner = np.sum(wy * f(mean + sd * y))
        total += w * f(np.asarray([np.sqrt(p) * s]))[0] * inner
    return total


def panels(ends):
    """Nodes and Gaussian weights between all neighbours of ``ends`` in [-9.5, 9.5]."""
    ends = np.unique([e for e in ends if abs(e) <= 9.5])
    x, w = np.polynomial.legendre.leggauss(16)
    a, b = ends[:-1, None], ends[1:, None]
    nodes = ((b - a) / 2 * x + (a + b) / 2).ravel()
    weights = ((b - a) / 2 * w).ravel()
    return nodes, weights * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
