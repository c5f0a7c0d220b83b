"""The papers' sketches, complete: every degree, every norm, every window."""

import numpy as np
import pytest
from unbiased import check_unbiased

import tangency as tg
from tangency.sketch import srht
from tangency.sketch.blocks import Block, layout
from tangency.sketch.coefficients import coefficients
from tangency.sketch.poly_sketch import PolySketch
from tangency.sketch.srht import SRHT, TensorSRHT, real_features
from tangency.sketch.tensor_sketch import TensorSketch
from tangency.sketch.windows import Window

W = 2**0.5
DRAWS = 300


def unit_vectors(n=6, d=7):
    x = np.random.default_rng(3).standard_normal((n, d))
    x[1] = -x[0]
    x[2] = np.eye(d)[0]
    x[3] = np.eye(d)[1]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def check_draws(draw, exact):
    """``DRAWS`` draws have the mean ``exact``."""
    check_unbiased([draw(np.random.default_rng([5, i])) for i in range(DRAWS)], exact)


def gram(z):
    return real_features(z) @ real_features(z).T


@pytest.mark.parametrize("k", [3, 7, 20])
def test_srht_keeps_inner_products_on_average(k):
    x = (Block(unit_vectors()),)
    exact = x[0].array @ x[0].array.T
    check_draws(lambda rng: gram(SRHT(rng, layout(x), k)(x)), exact)


def test_srht_of_all_rows_is_an_isometry():
    x = (Block(unit_vectors()),)
    sketch = SRHT(np.random.default_rng(0), layout(x), 14)
    np.testing.assert_allclose(gram(sketch(x)), x[0].array @ x[0].array.T, atol=1e-12)


@pytest.mark.parametrize("k", [3, 7, 20])
def test_rows_by_matrix_products_are_those_of_the_transform(k, monkeypatch):
    x = (Block(unit_vectors()),)
    found = []
    for dense in (0, 1e9):
        monkeypatch.setattr(srht, "DENSE", dense)
        sketch = SRHT(np.random.default_rng(0), layout(x), k)
        assert (sketch.weights() is None) == (dense == 0)
        z = sketch(x)
        found.append((z, sketch((Block(z[:, :1] * x[0].array),))))
    for by_transform, by_product in zip(*found, strict=True):
        np.testing.assert_allclose(by_product, by_transform, atol=1e-12)


def test_srht_of_patches_is_that_of_their_kernel():
    images = np.random.default_rng(0).standard_normal((2, 3, 3, 2))
    patches = Block(images, Window((2, 3), (2, 1), "SAME"), scale=0.5)
    flat = patches.dense().reshape(-1, 12)

    def draw(rng):
        return gram(SRHT(rng, layout((patches,)), 6)((patches,)).reshape(-1, 6))

    check_draws(draw, flat @ flat.T)


def test_tensor_srht_multiplies_inner_products():
    x, y = (Block(unit_vectors()),), (Block(unit_vectors(d=4)[::-1]),)
    exact = (x[0].array @ x[0].array.T) * (y[0].array @ y[0].array.T)

    def draw(rng):
        return gram(TensorSRHT(rng, layout(x), layout(y), 5)(x, y))

    check_draws(draw, exact)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 8])
def test_one_tree_has_sketches_of_all_powers(degree):
    x = (Block(unit_vectors()),)
    rho = x[0].array @ x[0].array.T
    exact = np.asarray([rho**n for n in range(1, degree + 1)])

    def draw(rng):
        return [gram(u) for u in PolySketch(rng, layout(x), degree, 6)(x)]

    check_draws(draw, exact)


def test_a_tree_costs_little_more_than_its_highest_degree(monkeypatch):
    calls = []
    node = TensorSRHT.__call__
    monkeypatch.setattr(
        TensorSRHT, "__call__", lambda *args: calls.append(1) or node(*args)
    )
    x = (Block(unit_vectors()),)
    PolySketch(np.random.default_rng(0), layout(x), 16, 4)(x)
    # 7 nodes above the leaves' parents, each computed anew on a path of at most 3.
    assert len(calls) < 16 * 3


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5])
def test_tensor_sketch_has_all_powers(degree):
    x = unit_vectors()
    exact = np.asarray([(x @ x.T) ** n for n in range(degree + 1)])

    def draw(rng):
        return [u @ u.T for u in TensorSketch(rng, x.shape[1], 9, degree)(x)]

    check_draws(draw, exact)


def test_polynomial_sketches_are_the_same_in_every_library(xp64):
    x = unit_vectors()
    sketch = TensorSketch(np.random.default_rng(0), 7, 9, 3)
    for ours, expected in zip(sketch(xp64.asarray(x)), sketch(x), strict=True):
        np.testing.assert_allclose(np.asarray(ours), expected, atol=1e-12)
    net = tg.serial(tg.Dense(4, W, 0.3), tg.Relu(), tg.Dense(1))
    kernel = tg.SketchedKernel(net, 16, "polysketch", degree=3).fit(x)
    ours, expected = kernel.features(xp64.asarray(x)), kernel.features(x)
    np.testing.assert_allclose(np.asarray(ours), expected, atol=1e-12)


# What the released code of the papers gets wrong.


def sketched(net, x, degree, dim=1024, get="nngp"):
    """The mean over 4 seeds of the kernel by polysketch."""
    return np.mean(
        [
            tg.SketchedKernel(net, dim, "polysketch", seed, degree=degree)(x, get=get)
            for seed in range(4)
        ],
        axis=0,
    )


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_the_highest_degree_is_not_dropped(degree):
    net = tg.serial(tg.Dense(4), tg.Hermite(degree))
    x = unit_vectors() * 7**0.5
    exact = tg.ExactKernel(net)(x, get="nngp")
    np.testing.assert_allclose(sketched(net, x, degree), exact, atol=0.25)
    assert exact.max() > 0.99


def test_a_sine_of_degree_one_is_not_zero():
    net = tg.serial(tg.Dense(4), tg.Sin())
    x = unit_vectors() * 7**0.5
    c = coefficients(tg.Sin(), np.asarray(1.0), 1)[0]
    found = np.diag(sketched(net, x, 1))
    np.testing.assert_allclose(found, c[1] ** 2, rtol=0.15)


@pytest.mark.parametrize(
    "shape, strides, padding",
    [((2, 2), (1, 1), "SAME"), ((3, 4), (2, 3), "VALID"), ((4, 1), (1, 2), "CIRCULAR")],
)
def test_windows_of_any_size_stride_and_padding_are_sketched(shape, strides, padding):
    conv = tg.Conv(4, shape, strides, padding, W_std=W, b_std=0.3)
    net = tg.serial(conv, tg.Relu(), tg.Flatten(), tg.Dense(1))
    x = np.random.default_rng(0).standard_normal((5, 5, 6, 2))
    exact = tg.ExactKernel(net)(x, get="ntk")
    found = sketched(net, x, 6, dim=256, get="ntk")
    assert np.linalg.norm(found - exact) < 0.15 * np.linalg.norm(exact)


@pytest.mark.parametrize("method", ["polysketch", "hybrid", "nystrom"])
def test_no_patch_of_features_is_ever_formed(method, monkeypatch):
    conv = tg.Conv(4, (3, 3), padding="SAME", W_std=W, b_std=0.3)
    net = tg.serial(*(conv, tg.Relu()) * 2, tg.GlobalAvgPool(), tg.Dense(1))
    x = np.random.default_rng(0).standard_normal((5, 6, 6, 2))
    sketch = tg.SketchedKernel(net, 32, method).fit(x)
    form = Block.dense

    def dense(block):
        assert block.window is None, "nine copies of the features"
        return form(block)

    monkeypatch.setattr(Block, "dense", dense)
    assert np.isfinite(sketch.features(x)).all()


@pytest.mark.parametrize("f", [tg.Gelu(), tg.Erf(), tg.Relu()], ids=repr)
def test_the_series_converges_far_from_unit_norm(f):
    """At norms from 0.3 to 3, where a series cut at unit norm is off by orders."""
    net = tg.serial(tg.Dense(4), f)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 16)) * np.linspace(0.3, 3.0, 20)[:, None]
    exact = tg.ExactKernel(net)(x, get="nngp")
    found = sketched(net, x, 8)
    assert np.linalg.norm(found - exact) < 0.1 * np.linalg.norm(exact)


@pytest.mark.parametrize("f", [tg.Relu(), tg.Gelu(), tg.ExpNormalized()], ids=repr)
def test_series_of_coefficients_are_the_duals(f):
    s = np.asarray([0.0, 0.4, 1.0, 2.0])
    p, q = s[:, None] ** 2, s**2
    rho = 0.3
    c, d = coefficients(f, s, 40)
    powers = rho ** np.arange(41)
    value, slope = f.value_and_derivative(p, q, rho * np.outer(s, s))
    np.testing.assert_allclose((c * powers) @ c.T, value, atol=1e-9)
    # A zero row has rho = 0 whatever the other one is.
    np.testing.assert_allclose(((d * powers) @ d.T)[1:, 1:], slope[1:, 1:], atol=1e-9)
