"""z-tests of estimators over many draws, and the largest z that chance allows."""

import numpy as np
from scipy.stats import norm

# Chance of a test to fail although nothing is biased.
LEVEL = 1e-3


def z_scores(draws, exact):
    """|mean - exact| in standard errors, for draws ``[S, ...]``."""
    draws = np.asarray(draws)
    error = draws.std(axis=0, ddof=1) / len(draws) ** 0.5
    # An entry without variance must be right to rounding.
    floor = 1e-9 * np.abs(exact).max()
    return np.abs(draws.mean(axis=0) - exact) / np.maximum(error, floor)


def largest_z(tests):
    """Two-sided at ``LEVEL`` for so many tests together (Bonferroni)."""
    return norm.isf(LEVEL / (2 * tests))


def check_unbiased(draws, exact):
    """Of symmetric matrices ``[..., n, n]``, each entry once."""
    z = z_scores(draws, exact)
    n = z.shape[-1]
    tests = z.size // n * (n + 1) // 2
    assert z.max() < largest_z(tests), (z.max(), largest_z(tests))
