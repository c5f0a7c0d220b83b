"""Fully connected kernels in Triton against those of the CPU engine in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tangency as tg
from tangency.kernels.planes import cpu_dense, cpu_dense_back, lower
from tangency.kernels.planes.triton import dense_tiles, torch_dense, torch_planes
from tangency.kernels.planes.triton.dense_forward import gram_of_shape_kernel
from tangency.kernels.planes.triton.torch_dense import DenseKernel

BRANCHES = tg.parallel(tg.serial(tg.Relu(), tg.Dense(8, W_std=1.1)), tg.Identity())
NETWORKS = {
    "one rectifier": tg.serial(tg.Dense(8, W_std=2**0.5), tg.Relu(), tg.Dense(1)),
    "biases": tg.serial(
        *(tg.Dense(8, W_std=1.3, b_std=0.2), tg.Relu()) * 2, tg.Dense(1, b_std=0.1)
    ),
    "standard": tg.serial(
        tg.Dense(8, W_std=1.3, b_std=0.2, parameterization="standard"),
        tg.Relu(),
        tg.Dense(1, parameterization="standard"),
    ),
    "smooth": tg.serial(
        tg.Dense(8, W_std=1.5, b_std=0.1), tg.Gelu(), tg.Dense(8), tg.Sin(), tg.Dense(1)
    ),
    "kink after smooth": tg.serial(
        tg.Dense(8, W_std=1.5), tg.Erf(), tg.Dense(8), tg.Relu(), tg.Dense(1)
    ),
    "jump": tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(8), tg.Sign(), tg.Dense(1)),
    "branches": tg.serial(
        tg.Dense(8, W_std=1.2, b_std=0.2), tg.FanOut(2), BRANCHES, tg.FanInSum(),
        tg.Relu(), tg.Dense(8), tg.LayerNorm(), tg.Relu(), tg.Dense(1),
    ),
}  # fmt: skip
CASES = ((np.float32, True), (np.float64, False))
SWEEP = {"BM": 64, "BN": 32}
CASE_NAMES = ("single, x1", "double, x1 and x2")


@pytest.fixture
def tiles_of_a_gpu():
    """A test that asks for this one has the tiles that GPUs have."""


@pytest.fixture(autouse=True)
def few_tiles(request, monkeypatch):
    """Few strips and tiles, but not one: the interpreter takes its time for each."""
    if "tiles_of_a_gpu" in request.fixturenames:
        return
    sizes = {"BM": 32, "BN": 16, "BK": 16, "GROUP": 2, "STRIP": 16}
    forward, sweep = dense_tiles.Tiles(sizes, {}), dense_tiles.Tiles(SWEEP, {})
    monkeypatch.setattr(torch_dense, "forward_tiles", lambda *_: forward)
    monkeypatch.setattr(torch_dense, "sweep_tiles", lambda *_: sweep)


def rows(n, d, dtype, seed=0):
    """Random rows; among them a zero row, parallel rows and nearly equal ones."""
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)
    x[2] = 0
    x[4], x[5] = x[3] * dtype(2), x[3] + dtype(1e-4) * x[7]
    x[8] = x[9] + dtype(1e-2) * x[7]
    return x


def pairs(dtype):
    """x1 and x2; some rows are in both."""
    one, two = rows(23, 19, dtype), rows(13, 19, dtype, 1)
    two[0], two[1] = one[0], one[10] + dtype(3e-4) * one[11]
    return one, two


def wide(x):
    return None if x is None else x.astype(np.float64)


def tensor(x):
    return None if x is None else torch.from_numpy(x)


def assert_near(got, want, tolerance):
    error = np.abs(got.numpy() - want).max() / np.abs(want).max()
    assert error < tolerance, error


@pytest.mark.parametrize(("dtype", "symmetric"), CASES, ids=CASE_NAMES)
@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_kernels_equal_those_of_the_cpu(net, dtype, symmetric):
    x1, x2 = pairs(dtype)
    x2 = None if symmetric else x2
    program = lower(net, x1.shape)
    got = DenseKernel(program, ("nngp", "ntk")).forward(tensor(x1), tensor(x2))
    want = cpu_dense.kernel(program, wide(x1), wide(x2))
    # An angle is at best the root of what rounding leaves of a correlation: parallel
    # rows of other norms, after a smooth dual, have that error in either engine.
    tolerance = 1e-6 if dtype == np.float32 else 2e-8
    for one, other in zip(got, want, strict=True):
        assert_near(one, other, tolerance)
        if symmetric:
            assert torch.equal(one, one.T)
    if dtype == np.float64 and net is not NETWORKS["kink after smooth"]:
        assert_near(got[0], want[0], 1e-13)


@pytest.mark.parametrize(("dtype", "symmetric"), CASES, ids=CASE_NAMES)
@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_gradients_equal_those_of_the_cpu(net, dtype, symmetric):
    x1, x2 = pairs(dtype)
    x2 = None if symmetric else x2
    program = lower(net, x1.shape)
    shape = (len(x1), len(x1 if x2 is None else x2))
    bars = np.random.default_rng(2).standard_normal((2, *shape)).astype(dtype)
    kernel = DenseKernel(program, ("nngp", "ntk"))
    got = kernel.vjp(tensor(x1), tensor(x2), tuple(map(tensor, bars)))
    want = cpu_dense_back.vjp(program, wide(x1), wide(x2), *map(wide, bars))
    tolerance = 2e-6 if dtype == np.float32 else 1e-8
    if net is NETWORKS["jump"] and dtype == np.float32:
        # The derivatives of a jump in a covariance and in a variance are 1 / angle each
        # and cancel: they leave eps / angle, 6e-8 / 1e-4 at two rows of the inputs.
        tolerance = 1e-3
    for one, other in zip(got, want, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == tensor(x1).dtype
            assert_near(one, other, tolerance)


@pytest.mark.parametrize("names", [("nngp",), ("ntk",), ("ntk", "nngp")], ids=str)
def test_kernels_are_returned_in_the_order_that_was_asked_for(names):
    x1, x2 = pairs(np.float32)
    program = lower(NETWORKS["biases"], x1.shape)
    kernel = DenseKernel(program, names)
    got = kernel.forward(tensor(x1), tensor(x2))
    given = cpu_dense.kernel(program, wide(x1), wide(x2))
    want = dict(zip(("nngp", "ntk"), given, strict=True))
    bars = tuple(torch.ones(23, 13) for _ in names)
    found = kernel.vjp(tensor(x1), tensor(x2), bars)
    given = {name: np.ones((23, 13)) for name in names}
    right = cpu_dense_back.vjp(program, wide(x1), wide(x2), **given)
    for name, one in zip(names, got, strict=True):
        assert_near(one, want[name], 1e-6)
    for one, other in zip(found, right, strict=True):
        assert_near(one, other, 2e-6)


def test_opposite_rows_are_near_the_limit():
    x = rows(16, 19, np.float32)
    x[8:] = -x[:8]
    program = lower(NETWORKS["biases"], x.shape)
    got = DenseKernel(program, ("nngp", "ntk")).forward(tensor(x), None)
    want = cpu_dense.kernel(program, wide(x))
    # e = 2 is rounded to 1e-7, and pi less the angle is the root of twice that.
    for one, other, tolerance in zip(got, want, (1e-6, 2e-4), strict=True):
        assert_near(one, other, tolerance)


@pytest.mark.parametrize("duplicates", (3, 40), ids=("few", "many"))
def test_nearly_equal_rows_keep_their_digits(duplicates):
    x = rows(48, 33, np.float32)
    x[-duplicates:] = x[0] + 1e-4 * x[-duplicates:]
    program = lower(NETWORKS["one rectifier"], x.shape)
    (got,) = DenseKernel(program, ("ntk",)).forward(tensor(x), None)
    want = cpu_dense.kernel(program, wide(x), get="ntk")
    assert_near(got, want, 1e-6)


def test_gradients_are_the_same_in_parts(monkeypatch):
    x1, x2 = pairs(np.float32)
    program = lower(NETWORKS["biases"], x1.shape)
    kernel = DenseKernel(program, ("nngp", "ntk"))
    bars = torch.from_numpy(np.random.default_rng(3).random((2, 23, 23), np.float32))
    whole = kernel.vjp(tensor(x1), None, tuple(bars))[0]
    monkeypatch.setattr(torch_planes, "HOST_BYTES", 16 * 23 * 40)
    parts = kernel.vjp(tensor(x1), None, tuple(bars))[0]
    assert_near(parts, whole.numpy(), 1e-6)


def test_tiles_may_run_in_any_order(last_programs_first):
    x = tensor(pairs(np.float32)[0])
    kernel = DenseKernel(lower(NETWORKS["biases"], x.shape), ("nngp", "ntk"))
    bars = tuple(torch.from_numpy(np.random.default_rng(3).random((2, 23, 23), "f")))
    found = [(*kernel.forward(x, None), kernel.vjp(x, None, bars)[0])]
    last_programs_first()
    found.append((*kernel.forward(x, None), kernel.vjp(x, None, bars)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_kernel_of_jax_is_that_of_torch(symmetric):
    x1, x2 = map(tensor, pairs(np.float32))
    y = x1 if symmetric else x2
    program = lower(NETWORKS["biases"], x1.shape)
    want = DenseKernel(program, ("nngp", "ntk")).forward(x1, None if symmetric else x2)
    got = [torch.full_like(k, torch.nan) for k in want]
    rows1, rows2 = x1.flatten(1), y.flatten(1)
    layers = dense_tiles.gram_constants(program, ("nngp", "ntk"), "ieee", False)
    tiles = torch_dense.forward_tiles(False, "ieee")
    gram_of_shape_kernel[(tiles.blocks(len(x1), len(y)),)](
        rows1, rows2, *got, rows1.new_empty(len(x1)), rows1.new_empty(len(y)),
        n=len(x1), m=len(y), d=rows1.shape[1], SAME=symmetric, TRIANGLE=symmetric,
        **layers, **tiles.constants,
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_one_call_serves_autograd(tiles_of_a_gpu):
    x1, x2 = (torch.from_numpy(x[:12]).requires_grad_() for x in pairs(np.float64))
    net = NETWORKS["biases"]
    fast, exact = tg.ExactKernel(net, "triton"), tg.ExactKernel(net, "exact")
    gradients = []
    for kernel in (fast, exact):
        out = kernel(x1, x2, "ntk")
        gradients.append(torch.autograd.grad((out * out).sum(), (x1, x2)))
    for one, other in zip(*gradients, strict=True):
        assert_near(one, other.numpy(), 1e-9)


def test_torch_func_sees_through_the_call():
    x = torch.from_numpy(pairs(np.float64)[0][9:14])
    kernel = tg.ExactKernel(NETWORKS["one rectifier"], "triton")
    found = torch.func.grad(lambda x: kernel(x, get="nngp").sum())(x)
    want = torch.func.grad(
        lambda x: replace(kernel, engine="planes")(x, get="nngp").sum()
    )(x)
    assert_near(found, want.numpy(), 1e-12)


def test_inputs_with_pixels_of_one_are_rows():
    x = torch.randn(6, 1, 1, 5, generator=torch.Generator().manual_seed(0))
    net = tg.serial(tg.Flatten(), *NETWORKS["biases"].layers)
    got = tg.ExactKernel(net, "triton")(x, get="ntk")
    want = tg.ExactKernel(net, "planes")(x, get="ntk")
    assert_near(got, want.numpy(), 1e-6)
