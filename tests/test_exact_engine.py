"""Exact kernels: symmetry, edge inputs, shapes, and what it needs to track."""

from functools import partial

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_jax import QUICK

import tangency as tg
from tangency.kernels.exact import covariances
from tangency.kernels.layers.needs import needs_pairs

W = 2**0.5
exact = partial(tg.ExactKernel, engine="exact")
FC = tg.serial(tg.Dense(64, W, 0.1), tg.Relu(), tg.Dense(64, W, 0.1), tg.Relu())
FC = tg.serial(FC, tg.Dense(1))
DEEP = tg.serial(tg.repeat(tg.serial(tg.Dense(8, W), tg.Relu()), 100), tg.Dense(1))


def conv(padding="SAME", filter_shape=(3, 3), strides=None):
    return tg.Conv(16, filter_shape, strides, padding, W_std=W, b_std=0.1)


CNN = tg.serial(conv(), tg.Relu(), tg.AvgPool((2, 2), (2, 2)), conv(), tg.Relu())
GAP = tg.serial(CNN, tg.GlobalAvgPool(), tg.Dense(1))
FLAT = tg.serial(CNN, tg.Flatten(), tg.Dense(1))


def edge_rows(shape, seed=0):
    """Generic, repeated, nearly repeated, negated, zero, tiny and huge inputs."""
    x = np.random.default_rng(seed).standard_normal((8, *shape))
    x[1] = x[0]
    x[2] = x[0] * (1 + 1e-9)
    x[3] = x[0] + 1e-7 * x[4]
    x[4] = -x[0]
    x[5] = 0
    x[6] *= 1e-6
    x[7] *= 1e6
    return x


NETS = {"fc": (FC, (7,)), "deep": (DEEP, (7,))}
NETS |= {"gap": (GAP, (5, 4, 3)), "flat": (FLAT, (5, 4, 3))}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ["exact", "planes"])
def test_edge_inputs_give_finite_symmetric_psd_kernels(name, dtype, engine):
    net, shape = NETS[name]
    x = edge_rows(shape).astype(dtype)
    for kernel in tg.ExactKernel(net, engine)(x):
        assert np.all(np.isfinite(kernel))
        assert np.array_equal(kernel, kernel.T)
        # Norms differ by 1e12, so the matrix is scaled to unit diagonal first.
        variances = np.diag(kernel).astype(np.float64)
        scale = np.sqrt(np.where(variances > 0, variances, 1))
        values = np.linalg.eigvalsh(kernel / scale / scale[:, None])
        assert values[0] > -1e-6 * values[-1]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ["exact", "planes"])
def test_edge_inputs_give_finite_gradients_on_torch(name, dtype, engine):
    net, shape = NETS[name]
    x = torch.tensor(edge_rows(shape).astype(dtype), requires_grad=True)
    y = torch.tensor(edge_rows(shape).astype(dtype), requires_grad=True)
    kernel = tg.ExactKernel(net, engine)
    for kernels in (kernel(x, y), kernel(x)):
        x.grad = y.grad = None
        sum(torch.log1p(k.abs()).sum() for k in kernels).backward()
        assert torch.isfinite(x.grad).all()
        assert y.grad is None or torch.isfinite(y.grad).all()


@pytest.mark.parametrize("name", ["fc", "gap", "flat"])
def test_edge_inputs_give_finite_gradients_on_jax(name):
    net, shape = NETS[name]
    x = jax.numpy.asarray(edge_rows(shape).astype(np.float32))

    def loss(x, y):
        return sum(jax.numpy.log1p(abs(k)).sum() for k in exact(net)(x, y))

    for gradient in jax.jit(jax.grad(loss, (0, 1)))(x, x):
        assert gradient.dtype == np.float32
        assert jax.numpy.isfinite(gradient).all()


@pytest.mark.parametrize("depth", [1, 5, 20, 100])
@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-3, 1e-4])
def test_float32_near_duplicates_agree_with_float64_in_value_and_gradient(depth, noise):
    # The predecessor's float32 gradient is off by 5 % at depth 1, 88 % at depth 100.
    net = tg.repeat(tg.serial(tg.Dense(8, W), tg.Relu()), depth)
    net = tg.serial(net, tg.Dense(1))
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 100)).astype(np.float32)
    y = x + (noise * rng.standard_normal(x.shape)).astype(np.float32)
    results = []
    for dtype in (torch.float32, torch.float64):
        a = torch.tensor(x, dtype=dtype, requires_grad=True)
        kernel = exact(net)(a, torch.tensor(y, dtype=dtype), "ntk")
        kernel.diagonal().sum().backward()
        results.append((kernel.detach().numpy(), a.grad.numpy()))
    (value, gradient), (value64, gradient64) = results
    assert np.abs(value - value64).max() < 1e-6 * np.abs(value64).max()
    assert np.abs(gradient - gradient64).max() < 1e-6 * np.abs(gradient64).max()


def test_jax_float32_gradients_agree_with_float64_without_x64():
    x = np.random.default_rng(2).standard_normal((4, 6)).astype(np.float32)
    y = x[:3] + np.float32(1e-4)

    def loss(x, y):
        return exact(FC)(x, y, "ntk").sum()

    gradients = jax.jit(jax.grad(loss, (0, 1)))
    single = gradients(jax.numpy.asarray(x), jax.numpy.asarray(y))
    with jax.enable_x64(True):
        args = (jax.numpy.asarray(a, dtype=np.float64) for a in (x, y))
        double = gradients(*args)
    for a, b in zip(single, double, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


def test_jax_second_derivatives_and_vmap_work():
    x = jax.numpy.asarray(np.random.default_rng(3).standard_normal((3, 5)), "float32")
    kernel = exact(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))

    def row_of(row):
        return kernel(row[None], x, "ntk")[0]

    rows = jax.jit(jax.vmap(row_of), compiler_options=QUICK)(x)
    np.testing.assert_allclose(rows, kernel(x, x, "ntk"), rtol=1e-6)
    hessian = jax.jit(jax.jacrev(jax.grad(lambda row: row_of(row).sum())))(x[0])
    assert np.all(np.isfinite(hessian))
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5)


def test_torch_func_transforms_work():
    x = torch.tensor(np.random.default_rng(3).standard_normal((3, 5)))
    kernel = exact(FC)
    rows = torch.func.vmap(lambda row: kernel(row[None], x, "ntk")[0])(x)
    torch.testing.assert_close(rows, kernel(x, x, "ntk"))
    gradient = torch.func.grad(lambda row: kernel(row[None], x, "ntk").sum())(x[0])
    assert torch.isfinite(gradient).all()


def test_torch_gradients_equal_finite_differences():
    x = torch.tensor(np.random.default_rng(4).standard_normal((2, 4, 3, 2)))
    y = torch.tensor(np.random.default_rng(5).standard_normal((1, 4, 3, 2)))
    for net in (GAP, FLAT):
        kernel = exact(net)
        args = (x.requires_grad_(), y.requires_grad_())
        assert torch.autograd.gradcheck(lambda a, b, k=kernel: tuple(k(a, b)), args)


@pytest.mark.parametrize("get", ["nngp", "ntk", ("ntk",), ("ntk", "nngp")])
def test_get_selects_the_kernels(get):
    x = np.random.default_rng(0).standard_normal((3, 5))
    both = exact(FC)(x)
    some = exact(FC)(x, get=get)
    if isinstance(get, str):
        assert np.array_equal(some, getattr(both, get))
    else:
        for name in ("nngp", "ntk"):
            one = getattr(some, name)
            assert (one is None) == (name not in get)
            assert one is None or np.array_equal(one, getattr(both, name))


def test_a_symmetric_call_equals_the_rectangular_one():
    for net, shape in NETS.values():
        x = np.random.default_rng(6).standard_normal((4, *shape))
        kernel = exact(net)
        for a, b in zip(kernel(x), kernel(x, x.copy()), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_spatial_results_have_axes_n_m_height_width_height_width():
    # The predecessor returned [n, m, W, W, H, H] after an odd number of convolutions.
    x = np.random.default_rng(7).standard_normal((2, 4, 6, 3))
    y = np.random.default_rng(8).standard_normal((3, 4, 6, 3))
    for depth in (1, 2):
        net = tg.repeat(conv(filter_shape=(3, 1)), depth)
        nngp = exact(net)(x, y, "nngp")
        assert nngp.shape == (2, 3, 4, 6, 4, 6)
        own = exact(net)(x, get="nngp")
        np.testing.assert_array_equal(own, own.transpose(1, 0, 4, 5, 2, 3))


@settings(max_examples=25)
@given(
    st.integers(1, 7),
    st.integers(1, 6),
    st.sampled_from(["SAME", "VALID", "CIRCULAR"]),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_a_convolution_sums_over_its_filter(h, w, padding, taps, strides):
    if padding == "VALID":
        taps = (min(taps[0], h), min(taps[1], w))
    x = np.random.default_rng(h * w).standard_normal((2, h, w, 2))
    net = tg.Conv(4, taps, strides, padding, W_std=1.3, b_std=0.2)
    patches = _patches(x, taps, strides, padding)
    k = np.einsum("nabf,mcdf->nmabcd", patches, patches) / patches.shape[-1]
    nngp = exact(tg.serial(net))(x, get="nngp")
    np.testing.assert_allclose(nngp, 1.3**2 * k + 0.2**2, rtol=1e-12, atol=1e-12)


def _patches(x, taps, strides, padding):
    """Filter inputs at every output pixel, ``[n, H', W', taps * channels]``."""
    pads, outs = [], []
    for size, f, s in zip(x.shape[1:3], taps, strides, strict=True):
        out = (size - f) // s + 1 if padding == "VALID" else -(-size // s)
        total = 0 if padding == "VALID" else max((out - 1) * s + f - size, 0)
        pads.append((total // 2, total - total // 2))
        outs.append(out)
    mode = "wrap" if padding == "CIRCULAR" else "constant"
    x = np.pad(x, ((0, 0), *pads, (0, 0)), mode=mode)
    rows = [
        [
            x[:, i * strides[0] :, j * strides[1] :][:, : taps[0], : taps[1]]
            for j in range(outs[1])
        ]
        for i in range(outs[0])
    ]
    return np.array(rows).transpose(2, 0, 1, 3, 4, 5).reshape(len(x), *outs, -1)


def test_only_equal_pixels_are_tracked_where_the_readout_needs_no_more():
    x = np.random.default_rng(9).standard_normal((2, 6, 6, 3))
    flat = tg.serial(conv(), tg.Relu(), conv(), tg.Relu(), tg.Flatten())
    assert not needs_pairs(flat, True)
    assert needs_pairs(tg.serial(conv(), tg.Relu(), tg.GlobalAvgPool()), True)
    assert needs_pairs(tg.serial(conv(), tg.AvgPool((2, 2)), tg.Flatten()), True)
    one_by_one = tg.serial(conv(), tg.AvgPool((1, 1), (2, 2)), tg.Flatten())
    assert not needs_pairs(one_by_one, True)
    body = tg.serial(conv(), tg.Relu(), conv())
    shared = tg.serial(
        tg.FanOut(2), tg.parallel(body, conv()), tg.FanInSum(), tg.Flatten()
    )
    assert not needs_pairs(shared, True)
    # The same numbers come out of the full covariances.
    full = covariances(tg.serial(*flat.layers[:-1]), x, None, True)
    assert full.full
    mean = np.einsum("nmabab->nm", full.nngp) / 36
    np.testing.assert_allclose(exact(flat)(x, get="nngp"), mean, rtol=1e-12)


def test_dropout_takes_the_fraction_dropped_and_acts_on_equal_units_only():
    x = np.random.default_rng(10).standard_normal((3, 5))
    body = tg.serial(tg.Dense(8, W), tg.Relu())
    plain = exact(body)(x)
    dropped = exact(tg.serial(body, tg.Dropout(0.25)))(x)
    factor = 1 + np.eye(3) * (1 / 0.75 - 1)
    for a, b in zip(dropped, plain, strict=True):
        np.testing.assert_allclose(a, b * factor, rtol=1e-14)
    test = exact(tg.serial(body, tg.Dropout(0.25, mode="test")))(x)
    np.testing.assert_array_equal(test.ntk, plain.ntk)


def test_dropout_may_come_first():
    # The predecessor raised IndexError here.
    x = np.random.default_rng(10).standard_normal((3, 5))
    net = tg.serial(tg.Dropout(0.5), tg.Dense(4))
    nngp = exact(net)(x, get="nngp")
    np.testing.assert_allclose(np.diag(nngp), 2 * (x**2).mean(1), rtol=1e-14)


def test_layer_norm_gives_unit_variance_over_channels_and_pixels():
    x = np.random.default_rng(11).standard_normal((2, 4, 5, 3))
    pixels = exact(tg.serial(conv(), tg.LayerNorm()))(x, get="nngp")
    np.testing.assert_allclose(np.einsum("nnabab->nab", pixels), 1, rtol=1e-9)
    net = tg.serial(conv(), tg.LayerNorm((1, 2, 3)))
    images = exact(net)(x, get="nngp")
    np.testing.assert_allclose(np.einsum("nnabab->n", images) / 20, 1, rtol=1e-9)


def test_results_do_not_depend_on_the_batch():
    for net, shape in NETS.values():
        x = np.random.default_rng(12).standard_normal((5, *shape))
        kernel = exact(net)
        whole = kernel(x, x[:3], "ntk")
        parts = [kernel(x[i : i + 1], x[:3], "ntk") for i in range(5)]
        np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12)


def test_a_residual_block_may_end_in_an_activation():
    # The predecessor refused the sum of a skip and a non-Gaussian branch.
    x = np.random.default_rng(13).standard_normal((3, 5))
    branch = tg.serial(tg.Dense(8, W), tg.Relu())
    net = tg.serial(
        tg.Dense(8), tg.FanOut(2), tg.parallel(branch, tg.Identity()), tg.FanInSum()
    )
    total = exact(net)(x)
    left = exact(tg.serial(tg.Dense(8), branch))(x)
    right = exact(tg.serial(tg.Dense(8)))(x)
    for a, b, c in zip(total, left, right, strict=True):
        np.testing.assert_allclose(a, b + c, rtol=1e-13)


def test_input_precision_keeps_forward_mode_in_jax():
    x = jax.numpy.asarray(np.random.default_rng(14).standard_normal((3, 5)), "float32")
    kernel = exact(FC, precision="input")
    _, tangent = jax.jvp(lambda a: kernel(a, x, "nngp"), (x,), (x,))
    assert tangent.dtype == np.float32
    assert np.all(np.isfinite(tangent))


def test_gradients_reach_weight_and_bias_scales():
    x = np.random.default_rng(15).standard_normal((3, 5)).astype(np.float32)

    def ntk(x, w, b):
        net = tg.serial(tg.Dense(8, w, b), tg.Relu(), tg.Dense(1, w))
        return exact(net)(x, get="ntk").sum()

    step = 1e-5
    x64 = x.astype(np.float64)
    expected = [
        (ntk(x64, 1.3 + step, 0.2) - ntk(x64, 1.3 - step, 0.2)) / (2 * step),
        (ntk(x64, 1.3, 0.2 + step) - ntk(x64, 1.3, 0.2 - step)) / (2 * step),
    ]
    scales = torch.tensor([1.3, 0.2], requires_grad=True)
    ntk(torch.asarray(x), scales[0], scales[1]).backward()
    np.testing.assert_allclose(scales.grad, expected, rtol=1e-5)
    gradient = jax.jit(jax.grad(ntk, (1, 2)))(jax.numpy.asarray(x), 1.3, 0.2)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
