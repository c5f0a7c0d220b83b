"""Expectations over Gaussian pairs by quadrature, which knows no closed form."""

import numpy as np
from numpy.polynomial.legendre import leggauss

NODES, WEIGHTS = leggauss(40)


def smooth_expectation(f, p, q, c):
    """E[f(u) f(v)], (u, v) ~ N(0, [[p, c], [c, q]]), for a smooth f.

    The trapezoidal rule converges faster than any power for analytic integrands that
    vanish at both ends; 14 standard deviations leave room for exponentials.
    """
    s, h = np.linspace(-14, 14, 281, retstep=True)
    weights = np.exp(-(s**2) / 2) * h / np.sqrt(2 * np.pi)
    u = np.sqrt(p) * s
    v = c / np.sqrt(p) * s[:, None] + np.sqrt(max(q - c * c / p, 0)) * s
    return float(np.einsum("i,j,ij->", weights * f(u), weights, f(v)))


def kinked_expectation(f, p, q, c):
    """The same for an f that is smooth except at 0.

    In polar coordinates of two independent normals, u and v change sign at fixed
    angles: the integral is split there.
    """
    theta = np.arccos(np.clip(c / np.sqrt(p * q), -1, 1))
    edges = [-np.pi / 2, theta - np.pi / 2, np.pi / 2, theta + np.pi / 2, 3 * np.pi / 2]
    r, r_weights = _panels(np.linspace(0, 16, 5))
    angle, angle_weights = _panels(edges)
    u = np.sqrt(p) * r[:, None] * np.cos(angle)
    v = np.sqrt(q) * r[:, None] * np.cos(angle - theta)
    radial = r_weights * r * np.exp(-(r**2) / 2) / (2 * np.pi)
    return float(np.einsum("i,j,ij->", radial, angle_weights, f(u) * f(v)))


def _panels(edges):
    """Gauss-Legendre nodes and weights between all neighbours of ``edges``."""
    a, b = np.asarray(edges[:-1])[:, None], np.asarray(edges[1:])[:, None]
    nodes = (b - a) / 2 * NODES + (a + b) / 2
    return nodes.ravel(), ((b - a) / 2 * WEIGHTS).ravel()
