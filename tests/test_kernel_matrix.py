"""A kernel matrix without a matrix: the same numbers, computed when they are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tangency as tg

KERNEL = tg.ExactKernel(tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1)))


def inputs(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


class Counting:
    """Counts the entries that its kernel computes."""

    def __init__(self):
        self.entries = 0

    def __call__(self, x1, x2=None, get="ntk"):
        self.entries += len(x1) * len(x1 if x2 is None else x2)
        return KERNEL(x1, x2, get)


@given(
    n=st.integers(1, 20),
    m=st.integers(0, 20),
    tile=st.integers(1, 22),
    cache=st.sampled_from([0, 2000, 2**20]),
)
def test_its_entries_are_those_of_the_kernel(n, m, tile, cache):
    x1, x2 = inputs(n), inputs(m, 1) if m else None
    lazy = tg.KernelMatrix(KERNEL, x1, x2, "nngp", tile, cache)
    k = KERNEL(x1, x2, "nngp")
    assert lazy.shape == k.shape and lazy.dtype == k.dtype
    assert lazy.symmetric == (x2 is None)
    close = dict(rtol=1e-12, atol=1e-12)
    rng = np.random.default_rng(2)
    rows, columns = rng.integers(0, n, 4), rng.integers(0, k.shape[1], 5)
    v = rng.normal(size=(k.shape[1], 2))
    for _ in range(2):
        np.testing.assert_allclose(lazy[rows, columns], k[np.ix_(rows, columns)], 1e-12)
        np.testing.assert_allclose(lazy[rows[0], 1:], k[rows[0], 1:], **close)
        np.testing.assert_allclose(lazy @ v, k @ v, **close)
        np.testing.assert_allclose(lazy.diagonal(), np.diagonal(k), **close)
        np.testing.assert_allclose(lazy.to_numpy(), k, **close)


def test_the_cache_holds_what_was_allowed_and_spares_the_kernel():
    x, v = inputs(40), np.ones(40)
    entries = []
    # Rows of tiles of 10: ten tiles on and above the diagonal.
    for cache in (0, 5 * 800, 10 * 800):
        count = Counting()
        lazy = tg.KernelMatrix(count, x, tile=10, cache=cache)
        lazy @ v
        count.entries = 0
        lazy @ v
        entries.append(count.entries)
    assert entries == [1000, 500, 0]


def test_reading_a_few_entries_computes_no_tiles():
    count = Counting()
    lazy = tg.KernelMatrix(count, inputs(200), tile=50)
    count.entries = 0
    assert lazy[[3, 150], [7, 8, 9]].shape == (2, 3)
    assert count.entries == 6
    with pytest.raises(ValueError, match="read-only"):
        lazy.tile(0, 1)[0, 0] = 0


def test_entries_are_read_from_any_array_library(xp):
    x = xp.asarray(inputs(5).tolist(), dtype=xp.float32)
    lazy = tg.KernelMatrix(KERNEL, x, tile=2, cache=0)
    expected = KERNEL(inputs(5), get="ntk")[[1, 4]]
    assert lazy.dtype == np.float32
    np.testing.assert_allclose(lazy[[1, 4]], expected, rtol=1e-5)


@pytest.mark.parametrize("solver", ["auto", "cholesky", "pcg"])
@pytest.mark.parametrize("preconditioner", ["nystrom", "rpcholesky"])
def test_solvers_take_a_kernel_without_a_matrix(solver, preconditioner):
    x, y = inputs(50), inputs(50, 1)[:, 0]
    lazy = tg.KernelMatrix(KERNEL, x, tile=12, cache=4000)
    options = {"solver": solver, "preconditioner": preconditioner, "rank": 10}
    solution = tg.solve(lazy, y, 1e-3, tolerance=1e-10, **options)
    expected = tg.solve(KERNEL(x, get="ntk"), y, 1e-3).x
    np.testing.assert_allclose(solution.x, expected, rtol=1e-6, atol=1e-8)
    posterior = tg.Posterior.fit(lazy, y, 1e-3)
    np.testing.assert_allclose(posterior.weights[:, 0], expected, rtol=1e-6)


def test_bad_input_is_named():
    x = inputs(4)
    with pytest.raises(ValueError, match="expected one name"):
        tg.KernelMatrix(KERNEL, x, get=("nngp", "ntk"))
    with pytest.raises(ValueError, match="get is 'gp'"):
        tg.KernelMatrix(KERNEL, x, get="gp")
    with pytest.raises(ValueError, match="cache is -1"):
        tg.KernelMatrix(KERNEL, x, cache=-1)
    with pytest.raises(ValueError, match="tile is 0"):
        tg.KernelMatrix(KERNEL, x, tile=0)
    with pytest.raises(TypeError, match="x2 has dtype float32"):
        tg.KernelMatrix(KERNEL, x, x.astype(np.float32))
    with pytest.raises(ValueError, match="between two sets of inputs"):
        tg.solve(tg.KernelMatrix(KERNEL, x, x + 1), np.ones(4))
    with pytest.raises(ValueError, match=r"y has shape \(5,\)"):
        tg.solve(tg.KernelMatrix(KERNEL, x), np.ones(5))


def test_entries_that_are_not_finite_are_named():
    def kernel(x1, x2=None, get="ntk"):
        return np.where(x1 + (x1 if x2 is None else x2).T > 7, np.inf, 1.0)

    lazy = tg.KernelMatrix(kernel, np.arange(6.0)[:, None], tile=2)
    with pytest.raises(ValueError, match="rows 2:4 and columns 4:6.*first at"):
        lazy @ np.ones(6)
    with pytest.raises(ValueError, match="first at .*2 rows from 3 and 2 columns"):
        lazy[[3, 5], [4, 5]]
