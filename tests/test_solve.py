"""Solvers against LAPACK: the same answer, and an honest report."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigvalsh
from sklearn.datasets import load_digits

import tangency as tg
from tangency.regression.conjugate_gradients import conjugate_gradients
from tangency.regression.preconditioners import nystrom, rp_cholesky


def kernel_matrix(n, decay=1.5, seed=0):
    """A matrix whose eigenvalues fall as those of a smooth kernel."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(n, n)))[0]
    k = (vectors / (1.0 + np.arange(n)) ** decay) @ vectors.T
    return (k + k.T) / 2


@settings(max_examples=25)
@given(
    n=st.integers(1, 40),
    outputs=st.integers(1, 3),
    preconditioner=st.sampled_from([None, "nystrom", "rpcholesky"]),
    rank=st.integers(1, 45),
)
def test_conjugate_gradients_find_the_solution(n, outputs, preconditioner, rank):
    k, y = kernel_matrix(n), np.random.default_rng(1).normal(size=(n, outputs))
    direct = tg.solve(k, y, 1e-2)
    solution = tg.solve(
        k, y, 1e-2, solver="pcg", tolerance=1e-9, preconditioner=preconditioner,
        rank=rank,
    )  # fmt: skip
    assert solution.report.residuals.max() <= 1e-9
    # The residual times the condition number, which is below 1e3.
    scale = np.abs(direct.x).max()
    np.testing.assert_allclose(solution.x, direct.x, atol=1e-6 * scale)


def test_every_column_converges_on_its_own():
    k = kernel_matrix(60)
    easy = np.linalg.eigh(k)[1][:, -1]
    y = np.stack([easy, np.random.default_rng(1).normal(size=60), np.zeros(60)], axis=1)
    report = tg.solve(k, y, 1e-4, solver="pcg", preconditioner=None).report
    assert (
        report.iterations[0] == 1 < report.iterations[1] and report.iterations[2] == 0
    )


@pytest.mark.parametrize("make", [nystrom, rp_cholesky])
def test_preconditioners_are_exact_at_full_rank(make):
    k = kernel_matrix(30)
    inverse = make(k, 30, 1e-3)
    shifted = k + 1e-3 * np.eye(30)
    values = np.linalg.eigvals(inverse(shifted)).real
    assert values.max() / values.min() < 1 + 1e-6


def test_few_iterations_suffice_on_digits():
    images, labels = load_digits(return_X_y=True)
    x = images[:1297] - images[:1297].mean(axis=0)
    x *= 8 / np.linalg.norm(x, axis=1, keepdims=True)
    y = tg.centred_one_hot(labels[:1297], 10)
    dense = tg.Dense(64, 2**0.5, 0.1)
    net = tg.serial(dense, tg.Relu(), dense, tg.Relu(), dense)
    k = tg.compute(tg.ExactKernel(net), x)
    direct = tg.solve(k, y)
    for preconditioner in ("nystrom", "rpcholesky"):
        solution = tg.solve(k, y, solver="pcg", preconditioner=preconditioner)
        assert solution.report.iterations.max() <= 50
        error = np.linalg.norm(solution.x - direct.x) / np.linalg.norm(direct.x)
        assert error < 1e-5
        # Estimates in different norms, from below and from above.
        assert 0.1 < solution.report.condition / direct.report.condition < 10


def test_the_condition_number_is_estimated():
    k, y = kernel_matrix(50), np.random.default_rng(1).normal(size=50)
    values = eigvalsh(k) + 1e-3 * np.trace(k) / 50
    expected = values[-1] / values[0]
    for solver, preconditioner in (("pcg", None), ("pcg", "nystrom")):
        report = tg.solve(
            k, y, 1e-3, solver=solver, preconditioner=preconditioner, rank=10,
            tolerance=1e-12,
        ).report  # fmt: skip
        assert report.condition == pytest.approx(expected, rel=0.3)


def test_stores_are_solved_as_arrays_are(tmp_path):
    kernel = tg.ExactKernel(tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1)))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    stored = tg.compute(kernel, x, tile=9, path=tmp_path / "k")
    expected = tg.solve(stored.to_numpy(), y, 1e-3).x
    for options in (
        {},
        {"scratch": tmp_path},
        {"solver": "pcg", "tolerance": 1e-12},
        {"solver": "pcg", "tolerance": 1e-12, "preconditioner": "rpcholesky"},
    ):
        got = tg.solve(stored, y, 1e-3, **options).x
        np.testing.assert_allclose(got, expected, rtol=1e-7)


def test_an_interrupted_solve_goes_on_from_its_checkpoint(tmp_path):
    k, y = kernel_matrix(80), np.random.default_rng(1).normal(size=(80, 2))
    whole = conjugate_gradients(k, y, 1e-3)
    file = tmp_path / "state.npz"

    class Stop(Exception):
        pass

    def interrupt(step, left=[25]):  # noqa: B006
        left[0] -= step
        if not left[0]:
            raise Stop

    with pytest.raises(Stop):
        conjugate_gradients(k, y, 1e-3, checkpoint=file, advance=interrupt)
    steps = []
    again = conjugate_gradients(k, y, 1e-3, checkpoint=file, advance=steps.append)
    np.testing.assert_array_equal(again.x, whole.x)
    assert len(steps) == whole.report.iterations.max() - 20
    with pytest.raises(ValueError, match="of another problem"):
        conjugate_gradients(k, y, 1e-2, checkpoint=file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        conjugate_gradients(k, y, 1e-3, checkpoint=file)


def test_nothing_looser_than_asked_for_is_returned():
    k, y = kernel_matrix(60), np.random.default_rng(1).normal(size=60)
    with pytest.raises(tg.NotConvergedError, match="after 3 iterations.*rank") as info:
        tg.solve(k, y, 1e-6, solver="pcg", rank=2, max_iterations=3)
    assert info.value.solution.report.residuals.max() > 1e-6


class Huge(tg.TiledMatrix):
    row_edges = column_edges = np.asarray([0, 100_001])
    symmetric, dtype = True, np.dtype(float)

    def tile(self, i, j):
        raise MemoryError

    def diagonal(self):
        return np.ones(100_001)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ridge": -1.0}, "ridge is -1.0"),
        ({"solver": "lu"}, "solver is 'lu'"),
        ({"solver": "pcg", "tolerance": 0.0}, "tolerance is 0.0"),
        ({"solver": "pcg", "rank": 0}, "rank 0"),
        ({"solver": "pcg", "preconditioner": "ssor"}, "preconditioner is 'ssor'"),
        ({"k": -np.eye(4), "solver": "pcg"}, "not positive definite"),
        ({"k": Huge(), "y": np.ones(100_001)}, "solver is 'auto' for 100001 rows"),
        ({"y": np.ones(5)}, r"y has shape \(5,\)"),
    ],
)
def test_bad_input_is_named(options, said):
    arguments = {"k": np.eye(4), "y": np.ones(4), "preconditioner": None, **options}
    with pytest.raises(ValueError, match=said):
        tg.solve(**arguments)
