"""Block coordinate descent: to the solution of LAPACK, one block row at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import tangency as tg
from tangency.regression import block_coordinate as module
from tangency.regression.block_coordinate import block_coordinate, default_block


def digits_kernel(n, get="ntk"):
    images, labels = load_digits(return_X_y=True)
    x = images[:n] - images[:n].mean(axis=0)
    x *= 8 / np.linalg.norm(x, axis=1, keepdims=True)
    dense = tg.Dense(64, 2**0.5, 0.1)
    net = tg.serial(dense, tg.Relu(), dense, tg.Relu(), dense)
    k = tg.compute(tg.ExactKernel(net), x, get=get)
    return k, tg.centred_one_hot(labels[:n], 10), labels[:n]


def kernel_matrix(n, seed=0):
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(n, n)))[0]
    k = (vectors / (1.0 + np.arange(n)) ** 1.5) @ vectors.T
    return (k + k.T) / 2


@settings(max_examples=30)
@given(
    n=st.integers(1, 40),
    outputs=st.integers(1, 3),
    block=st.one_of(st.none(), st.integers(4, 45)),
)
def test_it_finds_the_solution(n, outputs, block):
    k, y = kernel_matrix(n), np.random.default_rng(1).normal(size=(n, outputs))
    direct = tg.solve(k, y, 1e-1)
    solution = tg.solve(k, y, 1e-1, solver="block", block=block, tolerance=1e-9)
    report = solution.report
    assert report.solver == "block" and report.jitter == 0
    assert report.residuals.max() <= 1e-9 and report.iterations.shape == (outputs,)
    # The residual times the condition number, which is below 1e3.
    scale = np.abs(direct.x).max()
    np.testing.assert_allclose(solution.x, direct.x, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("get", "block", "passes"),
    [("ntk", None, 25), ("ntk", 200, 30), ("ntk", 500, 25), ("nngp", None, 40)],
)
def test_few_passes_suffice_on_digits(get, block, passes):
    k, y, _ = digits_kernel(1297, get)
    solution = tg.solve(k, y, solver="block", block=block)
    assert solution.report.iterations.max() <= passes
    assert solution.report.residuals.max() <= 1e-6
    direct = tg.solve(k, y)
    error = np.linalg.norm(solution.x - direct.x) / np.linalg.norm(direct.x)
    assert error < 1e-4
    # A lower bound from one step of inverse iteration, and one in another norm.
    assert 0.02 < solution.report.condition / direct.report.condition < 2


def test_the_condition_number_is_estimated():
    k, y, _ = digits_kernel(300)
    values = np.linalg.eigvalsh(k)
    for ridge in (0.0, 1e-2):
        report = tg.solve(k, y, ridge, solver="block").report
        shift = ridge * np.trace(k) / 300
        truth = (values[-1] + shift) / (values[0] + shift)
        assert truth / 5 < report.condition < 1.01 * truth


def test_rows_that_come_sorted_take_longer_but_converge(tmp_path):
    k, y, labels = digits_kernel(600)
    order = np.argsort(labels, kind="stable")
    k, y = k[np.ix_(order, order)], y[order]

    class OnDisk(tg.TiledMatrix):
        """Rows are read in runs, as from files."""

        row_edges = column_edges = np.asarray([0, 300, 600])
        symmetric, dtype = True, k.dtype

        def tile(self, i, j):
            return k[self.rows(i), self.columns(j)]

    report = tg.solve(OnDisk(), y, solver="block").report
    assert report.residuals.max() <= 1e-6 and report.iterations.max() <= 80


def test_no_more_than_one_block_row_is_read_at_a_time():
    k, y, _ = digits_kernel(300)
    read = []

    class Rows(np.ndarray):
        def __getitem__(self, key):
            read.append(len(key))
            return np.asarray(self)[key]

    got = block_coordinate(k.view(Rows), y, 0.0, block=60)
    assert set(read) == {60} and len(read) == 5 * got.report.iterations.max()


def test_stores_and_kernels_without_a_matrix_are_solved(tmp_path):
    kernel = tg.ExactKernel(tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1)))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    stored = tg.compute(kernel, x, tile=9, path=tmp_path / "k")
    expected = tg.solve(stored.to_numpy(), y, 1e-2).x
    for k in (stored, tg.KernelMatrix(kernel, x, tile=9, cache=2000)):
        got = tg.solve(k, y, 1e-2, solver="block", tolerance=1e-9).x
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("seconds", [60.0, 0.0])
def test_an_interrupted_solve_goes_on_from_its_checkpoint(
    tmp_path, monkeypatch, seconds
):
    """Also in the middle of a pass, if a minute has gone by."""
    k, y, _ = digits_kernel(200)
    whole = block_coordinate(k, y, 1e-3, block=30)
    file = tmp_path / "state.npz"
    monkeypatch.setattr(module, "SECONDS", seconds)
    calls = []

    class Stop(Exception):
        pass

    class Stopping(np.ndarray):
        def __getitem__(self, key):
            calls.append(len(key))
            if len(calls) == 33:
                raise Stop
            return np.asarray(self)[key]

    with pytest.raises(Stop):
        block_coordinate(k.view(Stopping), y, 1e-3, block=30, checkpoint=file)
    done = len(calls) - 1
    again = block_coordinate(k.view(Stopping), y, 1e-3, block=30, checkpoint=file)
    np.testing.assert_array_equal(again.x, whole.x)
    np.testing.assert_array_equal(again.report.iterations, whole.report.iterations)
    assert again.report.condition == whole.report.condition
    kept = done if seconds == 0 else done - done % 7
    assert len(calls) - 1 - done == 7 * whole.report.iterations.max() - kept
    with pytest.raises(ValueError, match="of another problem"):
        block_coordinate(k, y, 1e-2, block=30, checkpoint=file)
    with pytest.raises(ValueError, match="of another problem"):
        tg.solve(k, y, solver="pcg", checkpoint=file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        block_coordinate(k, y, 1e-3, block=30, checkpoint=file)


def test_nothing_looser_than_asked_for_is_returned():
    k, y, _ = digits_kernel(300)
    with pytest.raises(tg.NotConvergedError, match="after 3 passes.*shuffle") as info:
        tg.solve(k, y, solver="block", max_iterations=3)
    assert info.value.solution.report.residuals.max() > 1e-6


def test_repeated_inputs_are_no_obstacle_where_there_is_a_solution():
    k, y, _ = digits_kernel(100)
    twice = np.tile(k, (2, 2))
    solution = tg.solve(twice, np.tile(y, (2, 1)), solver="block", block=80)
    assert solution.report.residuals.max() <= 1e-6 and solution.report.jitter == 0


def test_a_matrix_that_is_no_kernel_is_refused():
    k, y, _ = digits_kernel(100)
    with pytest.raises(tg.NotPositiveDefiniteError, match="at most -.*add a ridge"):
        tg.solve(k - np.eye(100), y, solver="block")
    with pytest.raises(ValueError, match="block 0, expected integers >= 1"):
        tg.solve(k, y, solver="block", block=0)


def test_blocks_fit_a_gigabyte():
    assert default_block(1) == 1 and default_block(1297) == 325
    assert default_block(50_000) == 2048
    assert default_block(10**6) * 8 * 10**6 <= 2**30
