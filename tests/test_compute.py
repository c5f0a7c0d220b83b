"""Kernels over whole datasets, tile by tile."""

import io
import re
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tangency as tg
from tangency.kernels.matrix.execution import IN_FLIGHT, run_tasks
from tangency.kernels.matrix.tiles import Grid, file_tile, size, tile_size

NET = tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1))
KERNEL = tg.ExactKernel(NET)


def inputs(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


@given(n=st.integers(1, 23), m=st.integers(1, 23), tile=st.integers(1, 25))
def test_tiles_make_up_the_matrix(n, m, tile):
    x1, x2 = inputs(n), inputs(m, 1)
    whole = KERNEL(x1, x2)
    tiled = tg.compute(KERNEL, x1, x2, ("nngp", "ntk"), tile)
    # BLAS sums the inner products of a tile in another order.
    np.testing.assert_allclose(tiled.nngp, whole.nngp, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(tiled.ntk, whole.ntk, rtol=1e-13, atol=1e-14)
    alone = tg.compute(KERNEL, x1, tile=tile)
    expected = KERNEL(x1, get="ntk")
    # Nearly equal rows: an angle of 1e-8 is what rounding of a norm can make.
    np.testing.assert_allclose(alone, expected, rtol=1e-7)
    np.testing.assert_array_equal(alone, alone.T)


@given(n=st.integers(1, 500), m=st.integers(1, 500), tile=st.integers(1, 70))
def test_tiles_are_of_nearly_equal_size_and_never_too_large(n, m, tile):
    grid = Grid(n, m, tile)
    for count, blocks in ((n, grid.row_blocks), (m, grid.column_blocks)):
        sizes = [size(block) for block in blocks]
        assert sum(sizes) == count and max(sizes) <= tile
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-count // tile)
    assert grid.pairs == n * m
    symmetric = Grid(n, n, tile, symmetric=True)
    assert n * (n + 1) / 2 <= symmetric.pairs <= n * n


def test_tiles_are_smaller_where_more_pixels_are_tracked():
    image = (100, 8, 8, 1)
    flat = tg.serial(tg.Conv(1, (3, 3)), tg.Relu(), tg.Flatten(), tg.Dense(1))
    pooled = tg.serial(tg.Conv(1, (3, 3)), tg.Relu(), tg.GlobalAvgPool())
    assert tile_size(KERNEL, (100, 3)) == 512
    assert tile_size(tg.ExactKernel(flat), image) == 64
    assert tile_size(tg.ExactKernel(pooled), image) == 8
    assert tile_size(lambda *_: None, (9, 999, 999, 3)) == 1


def test_tiles_that_are_written_are_large_but_shared_out_evenly():
    image = tg.serial(tg.Conv(1, (3, 3)), tg.Relu(), tg.GlobalAvgPool())
    assert file_tile(KERNEL, (10**6, 3), 10**6) == 2048
    assert file_tile(KERNEL, (1000, 3), 1000) == 125
    assert file_tile(KERNEL, (1, 3), 1) == 64
    assert file_tile(tg.ExactKernel(image), (10**5, 32, 32, 3), 10**5) < 512


def test_a_tile_of_a_slow_kernel_takes_seconds_not_minutes():
    image = tg.serial(tg.Conv(1, (3, 3)), tg.Relu(), tg.GlobalAvgPool())
    slow = tg.ExactKernel(tg.serial(*[image.layers[0], tg.Relu()] * 4), "exact")
    side = file_tile(slow, (1000, 32, 32, 3), 1000)
    assert 1 <= side <= 8
    # Never less than one row, whatever a pair costs.
    assert file_tile(lambda *_: None, (500, 999, 999, 3), 500) == 1
    # And never so many tiles that no folder could hold them.
    assert file_tile(lambda *_: None, (10**5, 999, 999, 3), 10**5) == 100
    for n in (1, 2, 97, 101):
        blocks = Grid(n, n, file_tile(slow, (n, 32, 32, 3), n)).row_blocks
        assert max(map(size, blocks)) - min(map(size, blocks)) <= 1


def test_diagonals_need_no_matrix():
    x = inputs(21)
    for get in ("nngp", "ntk"):
        got = tg.compute_diagonal(KERNEL, x, get)
        np.testing.assert_allclose(got, np.diagonal(KERNEL(x, get=get)), rtol=1e-13)


def test_threads_give_the_same_matrix():
    x = inputs(23)
    alone = tg.compute(KERNEL, x, get=("nngp", "ntk"), tile=4)
    with ThreadPoolExecutor(3) as executor:
        shared = tg.compute(KERNEL, x, get=("nngp", "ntk"), tile=4, executor=executor)
    np.testing.assert_array_equal(shared.nngp, alone.nngp)
    np.testing.assert_array_equal(shared.ntk, alone.ntk)


class Waiting:
    """An executor that counts the tasks it holds, and runs one when it is asked for."""

    def __init__(self):
        self.held, self.most, self.cancelled = 0, 0, 0

    def submit(self, function, *args):
        self.held += 1
        self.most = max(self.most, self.held)
        future = Future()

        def result():
            self.held -= 1
            return function(*args)

        def cancel():
            self.cancelled += 1

        future.result, future.cancel = result, cancel
        return future


def test_few_tasks_are_in_flight_and_an_error_cancels_the_rest():
    executor = Waiting()
    tasks = [(i,) for i in range(10 * IN_FLIGHT)]
    got = list(run_tasks(lambda i: 2 * i, tasks, executor))
    assert got == [2 * i for (i,) in tasks]
    assert executor.most == IN_FLIGHT
    with pytest.raises(ZeroDivisionError):
        list(run_tasks(lambda i: 1 // (3 - i), tasks, executor))
    assert executor.cancelled == IN_FLIGHT - 1


def test_the_result_is_numpy_in_the_dtype_of_the_inputs(xp):
    # Tiles of one shape, because JAX compiles for every shape.
    x = xp.asarray(inputs(4).tolist(), dtype=xp.float32)
    k = tg.compute(KERNEL, x, tile=2)
    assert type(k) is np.ndarray and k.dtype == np.float32
    expected = tg.compute(KERNEL, np.asarray(inputs(4), np.float32))
    # Inner products of a tile are summed in another order, and some are near zero.
    np.testing.assert_allclose(k, expected, rtol=1e-6, atol=1e-7)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_tells_tiles_per_second_and_the_time_left(monkeypatch, tmp_path):
    pytest.importorskip("tqdm", reason="needs the extra 'progress'")

    def slow(x1, x2=None, get="ntk"):
        time.sleep(0.3)
        return KERNEL(x1, x2, get)

    for path, shown in ((tmp_path / "k", True), (None, False)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        tg.compute(slow, inputs(6), tile=2, path=path)
        bars = sys.stderr.getvalue()
        found = re.search(r"ntk: +\d+%.* 5/6 \[00:0\d<00:0\d, .*(tile/s|s/tile)", bars)
        assert bool(found) == shown, bars


def test_bad_input_is_named():
    x = inputs(4)
    with pytest.raises(ValueError, match=r"x2 has shape \(4, 2\)"):
        tg.compute(KERNEL, x, x[:, :2])
    with pytest.raises(TypeError, match="x1 has dtype int64"):
        tg.compute(KERNEL, x.astype(int))
    with pytest.raises(ValueError, match="get is 'gp'"):
        tg.compute(KERNEL, x, get="gp")
    for tile in (0, 1.5, True):
        with pytest.raises(ValueError, match="tile is"):
            tg.compute(KERNEL, x, tile=tile)
    spatial = tg.ExactKernel(tg.serial(tg.Conv(1, (1,)), tg.Relu()))
    with pytest.raises(ValueError, match=r"expected \(4, 4\).*Flatten\(\)"):
        tg.compute(spatial, x[..., None])
