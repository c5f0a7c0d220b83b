"""Factorisation by panels against LAPACK's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangency.regression import cholesky
from tangency.regression.panels import factor_by_panels, inverse_diagonal


def positive(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, n + 3))
    return x @ x.T / n + 0.1 * np.eye(n)


@given(st.integers(1, 40), st.integers(1, 45), st.sampled_from("CF"))
def test_panels_give_the_factor_of_lapack(n, width, order):
    a = positive(n, n)
    found = factor_by_panels(a.copy(order=order), width)
    assert found.flags.f_contiguous
    # Condition numbers are below 1e3.
    assert np.allclose(found, np.linalg.cholesky(a), rtol=0, atol=1e-12)
    expected = np.diagonal(np.linalg.inv(a))
    assert np.allclose(inverse_diagonal(found, width), expected, rtol=1e-10)


def test_large_matrices_are_factorised_by_panels(monkeypatch):
    a, b = positive(60), np.ones((60, 2))
    expected = cholesky.factorise(a, 0.1)
    monkeypatch.setattr(cholesky, "LARGEST", 10)
    found = cholesky.factorise(a, 0.1)
    assert np.allclose(found.lower, expected.lower, rtol=0, atol=1e-13)
    assert np.allclose(found.solve(b), expected.solve(b), rtol=1e-11)
    assert np.allclose(found.inverse_diagonal, expected.inverse_diagonal, rtol=1e-11)


def test_panels_refuse_what_is_not_positive_definite():
    a = positive(9)
    a[7, 7] = -1
    with pytest.raises(np.linalg.LinAlgError):
        factor_by_panels(a, 4)
