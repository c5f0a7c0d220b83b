"""Inputs of the tests of sketches, and how far a sketch is off."""

import numpy as np


def images(n, seed=0):
    """Images of 6 x 6 pixels, of which neighbours are alike."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6, 6, 1))
    return (x + np.roll(x, 1, 1) + np.roll(x, 1, 2)) / 3**0.5


def relative(a, b):
    """The error of a in units of b, in the Frobenius norm."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)
