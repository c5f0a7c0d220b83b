"""ExactKernel: which engine runs, and that the two agree."""

import jax
import numpy as np
import pytest
import torch
from test_exact_engine import NETS, conv, edge_rows

import tangency as tg

X = np.random.default_rng(0).standard_normal((3, 5, 4, 3))
CNN, SHAPE = NETS["gap"]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_engines_agree_on_edge_inputs(name, dtype):
    net, shape = NETS[name]
    x, y = (edge_rows(shape, seed).astype(dtype) for seed in (0, 1))
    y[2], y[3] = x[0], -2 * x[0]
    planes = tg.ExactKernel(net, "planes")(x, y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    exact = tg.ExactKernel(net, "exact")
    correlations, _ = normalised(exact, x, y, exact(x, y))
    # Between nearly equal inputs the angle is the square root of what is left after
    # rounding, 1e-16 in float64, which float32 turns to; identical inputs are exact.
    plain, near = {"float64": (1e-12, 1e-6), "float32": (1e-6, 2e-6)}[dtype]
    tolerance = np.where(np.abs(correlations) > 1 - 1e-6, near, plain)
    tolerance[:2, 2] = plain
    for one, two in zip(
        normalised(exact, x, y, exact(x, y)),
        normalised(exact, x, y, planes),
        strict=True,
    ):
        assert np.all(np.abs(one - two) < tolerance)


def normalised(exact, x, y, kernels):
    """Kernels divided by sqrt(K(x, x) K(y, y)): norms differ by 1e12 here."""
    for kernel, own_x, own_y in zip(kernels, exact(x), exact(y), strict=True):
        variances = np.diag(own_x)[:, None] * np.diag(own_y)
        assert np.all(kernel[variances == 0] == 0)
        yield kernel / np.sqrt(np.where(variances > 0, variances, 1))


def test_auto_takes_planes_where_they_apply():
    for net, x in ((CNN, X), (tg.serial(conv(), tg.Relu(), tg.Flatten()), X)):
        auto, planes = (
            tg.ExactKernel(net, e)(x, get="ntk") for e in ("auto", "planes")
        )
        np.testing.assert_array_equal(auto, planes)


@pytest.mark.parametrize(
    ("net", "x", "words"),
    [
        (tg.serial(conv(), tg.Relu()), X, "spatial"),
        (tg.serial(conv(), tg.Tanh(), tg.Flatten()), X, "Tanh"),
        (tg.serial(tg.Conv(4, (3, 3, 3)), tg.Flatten()), X[..., None], "3 spatial"),
        (tg.serial(tg.Dense(4, np.ones(())), tg.Relu()), X[0, 0], "W_std"),
    ],
)
def test_planes_that_do_not_apply_are_refused_with_the_reason(net, x, words):
    kernel = tg.ExactKernel(net, "planes")
    with pytest.raises(ValueError, match=f"engine='planes' cannot.*{words}.*'exact'"):
        kernel(x)
    auto, exact = (tg.ExactKernel(net, e)(x, get="ntk") for e in ("auto", "exact"))
    np.testing.assert_array_equal(auto, exact)


def test_scalars_of_numpy_are_numbers():
    net = tg.serial(tg.Dense(4, np.float64(1.5), np.float32(0.5)), tg.Relu())
    same = tg.serial(tg.Dense(4, 1.5, 0.5), tg.Relu())
    x = X[0, 0]
    for engine in ("planes", "exact"):
        a, b = (tg.ExactKernel(n, engine)(x, get="ntk") for n in (net, same))
        np.testing.assert_array_equal(a, b)


def test_planes_refuse_arrays_of_other_libraries():
    strict = pytest.importorskip("array_api_strict", reason="another array library")
    x = strict.asarray(X)
    with pytest.raises(ValueError, match="NumPy, JAX and torch"):
        tg.ExactKernel(CNN, "planes")(x)
    assert tg.ExactKernel(CNN)(x, get="ntk").shape == (3, 3)


def test_planes_refuse_traced_infinities_before_any_work():
    bad = X.copy()
    bad[1, 2, 3, 0] = np.inf
    with pytest.raises(ValueError, match="x1 holds 1 entries that are NaN or infinite"):
        tg.ExactKernel(CNN, "planes")(bad)


def test_planes_keep_library_dtype_and_gradients():
    x32 = X.astype(np.float32)
    kernel = tg.ExactKernel(CNN, "planes")
    tensor = torch.tensor(x32, requires_grad=True)
    out = kernel(tensor, get="ntk")
    out.sum().backward()
    array = jax.numpy.asarray(x32)
    gradient = jax.jit(jax.grad(lambda x: kernel(x, get="ntk").sum()))(array)
    assert out.dtype == torch.float32 and gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-5, atol=1e-7)
    exact = torch.tensor(X.astype(np.float32).astype(float), requires_grad=True)
    tg.ExactKernel(CNN, "exact")(exact, get="ntk").sum().backward()
    scale = exact.grad.abs().max()
    assert (tensor.grad - exact.grad).abs().max() < 1e-5 * scale


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine is 'gpu', expected one of"):
        tg.ExactKernel(CNN, "gpu")


def test_the_plan_is_printed(capsys):
    tg.ExactKernel(CNN).plan((1, *SHAPE))
    text = capsys.readouterr().out
    for words in ("input 5 x 4, 3 channels", "box 3 x 3, SAME", "pool 2 x 2", "cost"):
        assert words in text
    with pytest.raises(ValueError, match="spatial"):
        tg.ExactKernel(tg.serial(conv())).plan((1, *SHAPE))
