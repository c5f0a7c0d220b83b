"""The same features in every library and dtype, for any batch, with gradients."""

from functools import partial

import jax
import numpy as np
import pytest
import torch
from quick_jax import QUICK

import tangency as tg
from tangency.sketch import fitting
from tangency.sketch.nystrom import RANK

W = 2**0.5
# torch.func.jvp, for the slope of an activation without a rule, compiles with it.
IGNORE_TORCH = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
METHODS = ("hybrid", "nystrom", "random")


def cnn(f):
    conv = tg.Conv(6, (3, 3), padding="SAME", W_std=W, b_std=0.2)
    body = (conv, f, tg.AvgPool((2, 2), (2, 2)), conv, f)
    return tg.serial(*body, tg.GlobalAvgPool(), tg.Dense(1))


FC = tg.serial(*(tg.Dense(8, W, 0.1), tg.Relu()) * 2, tg.Dense(1))
CASES = {
    "relu": (cnn(tg.Relu()), (4, 6, 2)),
    "gelu": (cnn(tg.Gelu()), (4, 6, 2)),
    "bump": (cnn(tg.Gaussian()), (4, 4, 1)),
    "gaussian": (cnn(tg.ExpNormalized()), (4, 4, 1)),
    "fc": (FC, (5,)),
}


def inputs(n, shape, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape))


def fitted(name, method, dim=24):
    net, shape = CASES[name]
    return tg.SketchedKernel(net, dim, method).fit(inputs(12, shape)), shape


@IGNORE_TORCH
@pytest.mark.parametrize(
    "name, method",
    [("relu", m) for m in METHODS] + [("bump", "hybrid"), ("gaussian", "hybrid")],
)
def test_every_library_has_the_features_of_numpy(xp64, name, method):
    sketch, shape = fitted(name, method)
    x, names = inputs(3, shape, seed=1), ("nngp", "ntk")
    features = partial(sketch.features, get=names)
    if xp64.__name__ == "jax.numpy":
        features = jax.jit(features, compiler_options=QUICK)
    ours, expected = features(xp64.asarray(x)), sketch.features(x, names)
    for got, wanted in zip(ours, expected, strict=True):
        assert type(got) is type(xp64.asarray(x))
        np.testing.assert_allclose(np.asarray(got), wanted, atol=1e-7)


def test_a_sample_of_any_library_fits_the_same_landmarks(xp64):
    net, shape = CASES["relu"]
    x = inputs(12, shape)
    sketch = tg.SketchedKernel(net, 24)
    here, there = sketch.fit(x), sketch.fit(xp64.asarray(x))
    assert np.array_equal(here.features(x), there.features(x))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_features_and_another_one_others(method):
    net, shape = CASES["relu"]
    x = inputs(12, shape)
    first, again, other = (
        tg.SketchedKernel(net, 24, method, seed).fit(x).features(x)
        for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["relu", "gaussian", "fc"])
def test_float32_features_are_those_of_float64_to_rounding(name, method):
    sketch, shape = fitted(name, method)
    x = inputs(4, shape, seed=1)
    wide, narrow = sketch(x, get="ntk"), sketch(x.astype(np.float32), get="ntk")
    assert narrow.dtype == np.float32
    # Rounding errors grow by 1 / sqrt(RANK) in the weakest landmarks' directions, in
    # each of two layers.
    budget = 2 * np.finfo(np.float32).eps / RANK**0.5
    np.testing.assert_allclose(narrow, wide, atol=budget * np.abs(wide).max())


@pytest.mark.parametrize("method", METHODS)
def test_features_do_not_depend_on_the_batch_or_its_chunks(method, monkeypatch):
    sketch, shape = fitted("relu", method)
    x = inputs(7, shape, seed=1)
    whole = sketch.features(x)
    monkeypatch.setattr(fitting, "ENTRIES", 3 * 24 * 24)
    np.testing.assert_allclose(sketch.features(x), whole, rtol=1e-11, atol=1e-12)
    single = np.concatenate([sketch.features(row[None]) for row in x])
    np.testing.assert_allclose(single, whole, rtol=1e-11, atol=1e-12)


def test_landmarks_do_not_depend_on_the_chunks_of_the_sample(monkeypatch):
    sketch, shape = fitted("relu", "hybrid")
    x = inputs(3, shape, seed=1)
    monkeypatch.setattr(fitting, "ENTRIES", 2 * 24 * 24)
    again, _ = fitted("relu", "hybrid")
    np.testing.assert_allclose(again.features(x), sketch.features(x), atol=1e-8)


def directional(sketch, x, v, h=1e-6):
    """d/dt of a function of the features of x + t v, by central differences."""

    def loss(x):
        return (sketch(x, get="ntk") ** 2).sum()

    return (loss(x + h * v) - loss(x - h * v)) / (2 * h)


@IGNORE_TORCH
@pytest.mark.parametrize(
    "name, method",
    [("gelu", "hybrid"), ("bump", "hybrid"), ("gaussian", "random"), ("fc", "nystrom")],
)
def test_gradients_are_those_of_finite_differences(name, method):
    # Of smooth activations: random features of ReLU have kinks.
    sketch, shape = fitted(name, method)
    x, v = inputs(2, shape, seed=1), inputs(2, shape, seed=2)
    expected = directional(sketch, x, v)
    t = torch.asarray(x, requires_grad=True)
    (sketch(t, get="ntk") ** 2).sum().backward()
    assert np.isclose((t.grad.numpy() * v).sum(), expected, rtol=1e-5)
    if name not in ("gelu", "fc"):
        # Two are enough for JAX, which compiles for seconds.
        return
    with jax.enable_x64(True):
        loss = jax.jit(jax.grad(lambda x: (sketch(x, get="ntk") ** 2).sum()))
        assert np.isclose((loss(jax.numpy.asarray(x)) * v).sum(), expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["hybrid", "nystrom"])
def test_gradients_of_relu_landmarks_are_those_of_finite_differences(method):
    sketch, shape = fitted("relu", method)
    x, v = inputs(2, shape, seed=1), inputs(2, shape, seed=2)
    t = torch.asarray(x, requires_grad=True)
    (sketch(t, get="nngp") ** 2).sum().backward()

    def loss(x):
        return (sketch(x, get="nngp") ** 2).sum()

    h = 1e-7
    expected = (loss(x + h * v) - loss(x - h * v)) / (2 * h)
    assert np.isclose((t.grad.numpy() * v).sum(), expected, rtol=1e-4)


def test_weight_scales_have_gradients():
    _, shape = CASES["relu"]
    x = torch.asarray(inputs(6, shape))

    def trace_of(w):
        conv = tg.Conv(6, (3, 3), padding="SAME", W_std=w, b_std=0.2)
        net = tg.serial(conv, tg.Relu(), tg.GlobalAvgPool(), tg.Dense(1, W_std=w))
        return tg.SketchedKernel(net, 24, "random")(x, get="ntk").trace()

    h = 1e-5
    expected = (trace_of(W + h) - trace_of(W - h)) / (2 * h)
    w = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    trace_of(w).backward()
    assert np.isclose(float(w.grad), float(expected), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["relu", "gelu", "gaussian", "fc"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_degenerate_inputs_have_finite_features_and_gradients(name, method, dtype):
    sketch, shape = fitted(name, method)
    x = np.stack(
        [np.full(shape, 0.0), np.full(shape, 1.0)]
        + [s * inputs(1, shape)[0] for s in (1, 1, -1, 1e-6, 1e6)]
    ).astype(dtype)
    t = torch.asarray(x, requires_grad=True)
    z = sketch.features(t, "ntk")
    assert torch.isfinite(z).all()
    torch.tanh(z).sum().backward()
    assert torch.isfinite(t.grad).all()
