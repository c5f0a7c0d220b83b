"""Features of every layer: exact where they can be, against the exact engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tangency as tg

W = 2**0.5


def conv(shape=(3, 3), strides=None, padding="SAME", **kwargs):
    return tg.Conv(6, shape, strides, padding, W_std=W, b_std=0.3, **kwargs)


def images(n, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape))


def residual(*branch):
    return tg.serial(tg.FanOut(2), tg.parallel(tg.Identity(), tg.serial(*branch)))


# Linear in the features: the sketch has no error.
LINEAR = {
    "dense": tg.serial(tg.Dense(3, W, 0.5), tg.Dense(1, 0.7)),
    "standard": tg.serial(conv(parameterization="standard"), tg.GlobalAvgPool()),
    "standard-deep": tg.serial(
        tg.Dense(5, W, 0.5, "standard"), tg.Flatten(), tg.Dense(2, W, 0.1, "standard")
    ),
    "strided": tg.serial(conv(strides=(2, 1)), tg.Dense(1)),
    "even-filter": tg.serial(conv((2, 4)), tg.Flatten(), tg.Dense(1)),
    "valid": tg.serial(conv((2, 3), padding="VALID"), tg.Flatten()),
    "circular": tg.serial(conv((3, 5), (2, 3), "CIRCULAR"), tg.GlobalSumPool()),
    "two-convs": tg.serial(conv(), conv((3, 2), padding="VALID"), tg.GlobalAvgPool()),
    "avg-pool": tg.serial(conv(), tg.AvgPool((2, 3), (2, 1), "SAME"), tg.Flatten()),
    "edges": tg.serial(
        conv(), tg.AvgPool((3, 3), (2, 2), "SAME", normalize_edges=True), tg.Flatten()
    ),
    "sum-pool": tg.serial(conv(), tg.SumPool((3, 2), padding="CIRCULAR"), conv()),
    "layer-norm": tg.serial(conv(), tg.LayerNorm(), conv(), tg.GlobalAvgPool()),
    "layer-norm-image": tg.serial(
        conv(), tg.LayerNorm(axis=(1, 2, -1)), tg.LayerNorm(), tg.Flatten(), tg.Dense(1)
    ),
    "dropout-test": tg.serial(conv(), tg.Dropout(0.5, mode="test"), tg.Flatten()),
    "sum": tg.serial(conv(), residual(conv()), tg.FanInSum(), tg.GlobalAvgPool()),
    "sum-unequal": tg.serial(
        tg.FanOut(2), tg.parallel(tg.Identity(), tg.Dense(4)), tg.FanInConcat()
    ),
    "concat-channels": tg.serial(
        tg.FanOut(2), tg.parallel(conv(), tg.Dense(2, W)), tg.FanInConcat(-1), conv()
    ),
    "concat-rows": tg.serial(
        tg.FanOut(2),
        tg.parallel(conv(), conv((3, 3), padding="SAME")),
        tg.FanInConcat(1),
        conv((2, 2)),
        tg.GlobalAvgPool(),
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_layers_without_a_nonlinearity_are_exact(name):
    net, x1, x2 = LINEAR[name], images(3, 5, 4, 3), images(2, 5, 4, 3, seed=1)
    sketch = tg.SketchedKernel(net, 8, method="random")
    for ours, exact in zip(sketch(x1, x2), tg.ExactKernel(net)(x1, x2), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-12, atol=1e-13)


@given(st.data())
@settings(max_examples=25)
def test_any_window_has_the_patches_of_the_exact_engine(data):
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    padding = data.draw(st.sampled_from(["SAME", "VALID", "CIRCULAR"]))
    most = size if padding == "VALID" else (7, 7)
    shape, strides = (
        tuple(data.draw(st.integers(1, m)) for m in bound) for bound in (most, (3, 3))
    )
    net = tg.serial(conv(shape, strides, padding), tg.SumPool((1, 1)), tg.Flatten())
    x = images(2, *size, 2)
    ours = tg.SketchedKernel(net, 4, method="random")(x, get="ntk")
    np.testing.assert_allclose(ours, tg.ExactKernel(net)(x, get="ntk"), rtol=1e-11)


def test_signals_on_a_line_and_in_space_have_features():
    for shape in ((9,), (3, 4, 2)):
        window = (2,) * len(shape)
        net = tg.serial(tg.Conv(4, window, padding="SAME"), tg.GlobalAvgPool())
        x = images(3, *shape, 2)
        ours = tg.SketchedKernel(net, 4, method="random")(x, get="ntk")
        np.testing.assert_allclose(ours, tg.ExactKernel(net)(x, get="ntk"), rtol=1e-12)


ACTIVATIONS = [
    tg.Relu(),
    tg.LeakyRelu(0.2),
    tg.Erf(),
    tg.Gelu(),
    tg.Sin(1.0, 0.7, 0.3),
    tg.ExpNormalized(),
    tg.Step(),
]
DEEP = {
    "pool": lambda f: tg.serial(
        conv((2, 2)), f, tg.AvgPool((2, 2)), conv(), f, tg.GlobalAvgPool(), tg.Dense(1)
    ),
    "flatten": lambda f: tg.serial(conv((2, 2)), f, tg.Flatten(), tg.Dense(9), f),
    "norm": lambda f: tg.serial(conv((2, 2)), tg.LayerNorm(), f, tg.GlobalAvgPool()),
    "residual": lambda f: tg.serial(
        conv((2, 2)), residual(f, conv()), tg.FanInSum(), f, tg.GlobalAvgPool()
    ),
    "unshared": lambda f: tg.serial(
        tg.Dense(4, W), conv((2, 2)), f, tg.Dense(3, W, None, "standard"), f
    ),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("method", ["nystrom", "hybrid"])
@pytest.mark.parametrize("f", ACTIVATIONS, ids=lambda f: type(f).__name__)
def test_landmarks_at_every_pixel_make_the_kernel_of_the_sample_exact(name, method, f):
    # 3 images of at most 9 pixels have 27 landmarks; what is cut off as rounding error
    # is 1e-7 of the trace in every layer.
    net, x = DEEP[name](f), images(3, 3, 3, 2)
    sketch = tg.SketchedKernel(net, 60, method).fit(x)
    for ours, exact in zip(sketch(x), tg.ExactKernel(net)(x), strict=True):
        np.testing.assert_allclose(ours, exact, atol=2e-4 * np.abs(exact).max())


def test_vectors_take_landmarks_for_the_kernel_of_the_whole_network():
    net = tg.serial(*(tg.Dense(8, W, 0.1), tg.Relu()) * 3, tg.Dense(1))
    x, other = images(40, 6), images(30, 6, seed=1)
    sketch = tg.SketchedKernel(net, 40).fit(x)
    for ours, exact in zip(sketch(x), tg.ExactKernel(net)(x), strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-5 * exact.max())
    assert sketch.features(other, "ntk").shape == (30, 40)
    K = tg.ExactKernel(net)(other, get="ntk")
    gap = np.linalg.eigvalsh(K - sketch(other, get="ntk"))
    assert gap[0] > -1e-8 * np.trace(K)


def test_layers_of_vectors_are_sketched_where_a_fraction_of_landmarks_is_asked_for():
    net = tg.serial(*(tg.Dense(8, W, 0.1), tg.Relu()) * 2, tg.Dense(1))
    x = images(60, 6)
    K = tg.ExactKernel(net)(x[:20], get="ntk")
    ours = tg.SketchedKernel(net, 200, head_frac=0.5).fit(x[20:])(x[:20], get="ntk")
    assert np.linalg.norm(ours - K) < 0.1 * np.linalg.norm(K)


@pytest.mark.parametrize("method", ["nystrom", "hybrid", "random"])
def test_products_of_branches_are_unbiased(method):
    net = tg.serial(
        tg.FanOut(2),
        tg.parallel(tg.Dense(6, W, 0.5), conv((2, 2))),
        tg.FanInProd(),
        tg.GlobalAvgPool(),
    )
    x = images(3, 3, 2, 2)
    exact = tg.ExactKernel(net)(x)
    draws = [tg.SketchedKernel(net, 64, method, seed).fit(x)(x) for seed in range(100)]
    for i in range(2):
        k = np.asarray([draw[i] for draw in draws])
        z = (k.mean(axis=0) - exact[i]) / (k.std(axis=0) / 10)
        assert np.abs(z).max() < 4
        assert np.abs(k.mean(axis=0) - exact[i]).max() < 0.1 * np.abs(exact[i]).max()


def test_networks_that_end_in_pixels_have_kernels_between_all_of_them():
    net = tg.serial(conv((2, 2)), tg.Relu(), tg.Dense(1))
    x, y = images(2, 3, 2, 1), images(4, 3, 2, 1, seed=1)
    sketch = tg.SketchedKernel(net, 80).fit(np.concatenate([x, y]))
    assert sketch.features(x, "nngp").shape == (2, 3, 2, 80)
    for args in ((x,), (x, y)):
        for ours, exact in zip(sketch(*args), tg.ExactKernel(net)(*args), strict=True):
            np.testing.assert_allclose(ours, exact, atol=1e-4 * exact.max())


def test_dropout_in_training_is_refused_with_the_reason():
    net = tg.serial(tg.Dense(4), tg.Relu(), tg.Dropout(0.5), tg.Dense(1))
    with pytest.raises(ValueError, match="no features of single inputs can express"):
        tg.SketchedKernel(net, 8, head_frac=0.5).fit(images(5, 3))
