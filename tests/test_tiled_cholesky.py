"""Cholesky in panels against the one of LAPACK."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tangency as tg
from tangency.regression import tiled_cholesky
from tangency.regression.cholesky import Cholesky, factorise
from tangency.regression.factor import factor
from tangency.regression.tiled_cholesky import factorise_tiled

KERNEL = tg.ExactKernel(tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1)))


def positive(n, seed=0):
    a = np.random.default_rng(seed).normal(size=(n, n + 3))
    return a @ a.T / n


def memory(n, width):
    """Bytes for panels of about ``width`` columns."""
    return 3 * 8 * n * width


@given(n=st.integers(1, 40), width=st.integers(1, 45))
def test_panels_make_up_the_factor(n, width):
    k, b = positive(n), np.random.default_rng(1).normal(size=(n, 2))
    whole, tiled = factorise(k, 0.5), factorise_tiled(k, 0.5, memory(n, width))
    assert len(tiled.panels) == -(-n // min(n, width))
    np.testing.assert_allclose(tiled.solve(b), whole.solve(b), rtol=1e-10, atol=1e-12)
    half = tiled.half_solve(b)
    np.testing.assert_allclose(half, whole.half_solve(b), rtol=1e-10, atol=1e-12)
    for name in ("inverse_diagonal", "log_determinant", "norm"):
        got, expected = getattr(tiled, name), getattr(whole, name)
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    # Both are estimates from below, of the same number.
    assert tiled.condition == pytest.approx(whole.condition, rel=0.7)


def test_large_matrices_are_factorised_in_panels_that_lapack_can_take(monkeypatch):
    k, b = positive(60), np.ones((60, 2))
    whole = factor(k, 0.1)
    assert isinstance(whole, Cholesky)
    monkeypatch.setattr(tiled_cholesky, "LARGEST", 10)
    monkeypatch.setattr("tangency.regression.factor.LARGEST", 10)
    tiled = factor(k, 0.1)
    assert len(tiled.panels) == 6
    np.testing.assert_allclose(tiled.solve(b), whole.solve(b), rtol=1e-11)
    got, expected = tiled.inverse_diagonal, whole.inverse_diagonal
    np.testing.assert_allclose(got, expected, rtol=1e-11)
    with pytest.raises(tg.NotPositiveDefiniteError):
        factor(k - 3 * np.eye(60), 0.0)


def test_a_posterior_of_a_store_is_that_of_the_matrix(tmp_path):
    rng = np.random.default_rng(0)
    x, y, test = (rng.normal(size=s) for s in ((37, 3), (37, 2), (5, 3)))
    stored = tg.compute(KERNEL, x, tile=10, path=tmp_path / "k")
    k, k_test = stored.to_numpy(), tg.compute(KERNEL, test, x)
    tiled = tg.Posterior.fit(stored, y, ridge=1e-3)
    whole = tg.Posterior.fit(k, y, ridge=1e-3)
    assert tiled.residual < 1e-12 and tiled.jitter == 0
    prior = np.full(5, 10.0)
    for method, arguments in (
        ("mean", (k_test,)),
        ("variance", (k_test, prior)),
        ("leave_one_out", ()),
        ("log_marginal_likelihood", ()),
    ):
        got = getattr(tiled, method)(*arguments)
        np.testing.assert_allclose(got, getattr(whole, method)(*arguments), rtol=1e-9)


def test_files_of_the_factor_go_with_it(tmp_path):
    k = positive(20)
    tiled = factorise_tiled(k, 0.1, memory(20, 6), scratch=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.iterdir())) == 4
    np.testing.assert_allclose(
        tiled.solve(k + 0.1 * np.eye(20)), np.eye(20), atol=1e-10
    )
    del tiled
    assert not list(tmp_path.iterdir())


def test_jitter_is_reported_and_a_matrix_that_is_no_kernel_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 2))
    with pytest.warns(tg.JitterWarning, match="singular to rounding"):
        tiled = factorise_tiled(x @ x.T, 0.0, memory(12, 5), scratch=tmp_path)
    assert tiled.jitter > 0
    # Both of the ways to find the eigenvalue that the message names, and one row.
    for n in (1, 12, 300):
        wrong = positive(n) - 3 * np.eye(n)
        lowest = np.linalg.eigvalsh(wrong)[0]
        with pytest.raises(
            tg.NotPositiveDefiniteError, match="smallest eigenvalue is about"
        ) as info:
            factorise_tiled(wrong, 0.0, memory(n, 5), scratch=tmp_path)
        named = float(str(info.value).split("is about ")[1].split(",")[0])
        assert named == pytest.approx(lowest, rel=0.01)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_matrix_between_two_sets_is_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 2))
    stored = tg.compute(KERNEL, x, x + 1, path=tmp_path / "k")
    with pytest.raises(ValueError, match="between two sets of inputs"):
        tg.Posterior.fit(stored, np.ones(6))
    with pytest.raises(ValueError, match=r"y has shape \(5,\)"):
        tg.Posterior.fit(tg.compute(KERNEL, x, path=tmp_path / "own"), np.ones(5))
    with pytest.raises(FileNotFoundError):
        factorise_tiled(positive(4), 0.0, scratch=tmp_path / "nowhere")


def linear(x1, x2=None, get="ntk"):
    return x1 @ (x1 if x2 is None else x2).T


def test_a_matrix_larger_than_memory_is_solved(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(1000, 5)), np.ones((1000, 1))
    k = tg.compute(linear, x, tile=150, path=tmp_path / "k")
    tracemalloc.start()
    try:
        factor = factorise_tiled(k, 1.0, memory=2**19, scratch=tmp_path)
        solution = factor.solve(y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    residual = k @ solution + solution - y
    assert np.linalg.norm(residual) < 1e-8 * np.linalg.norm(y)
    # Eight megabytes of matrix, and as much of factor.
    assert peak < 2**20 < k.nbytes / 7
