"""What NumPy computes in ways of its own: convolutions and compiled kernels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tangency as tg
from tangency.sketch import numpy_rows, winograd
from tangency.sketch.compiled import compiled
from tangency.sketch.windows import Window


@given(st.data())
def test_products_of_rows_are_those_of_the_taps(data):
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = data.draw(st.sampled_from(["SAME", "CIRCULAR", "VALID"]))
    if padding == "VALID":
        shape = tuple(map(min, shape, size))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    window = Window(shape, (1, 1), padding)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, 3)).astype(dtype)
    w = rng.standard_normal((window.taps, 3, 5)).astype(dtype)
    assert numpy_rows.applies(x, window)
    expected = sum(v @ m for v, m in zip(window.views(x), w, strict=True))
    found = numpy_rows.Rows(x, window).total(list(w))
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=10 * tolerance)


def test_rows_are_for_windows_without_strides():
    x = np.ones((1, 4, 4, 1))
    assert not numpy_rows.applies(x, Window((2, 2), (2, 1), "VALID"))
    assert not numpy_rows.applies(x, None)


@given(st.data())
def test_minimal_filtering_has_the_products_of_the_taps(data):
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(3, 11)))
    rows = data.draw(st.integers(1, 4))
    padding = data.draw(st.sampled_from(["SAME", "CIRCULAR", "VALID"]))
    if padding == "VALID":
        rows, size = min(rows, size[0]), (size[0], size[1] + 2)
    window = Window((rows, 3), (1, 1), padding)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, *size, 33))
    w = rng.standard_normal((window.taps, 33, 5))
    assert winograd.applies(x, window)
    expected = sum(v @ m for v, m in zip(window.views(x), w, strict=True))
    filters = winograd.transformed(list(w))
    size = np.abs(expected).max()
    for dtype in (np.float32, np.float64):
        found = winograd.convolve(x.astype(dtype), window, filters.astype(dtype))
        # The transforms multiply rounding errors by about 4.
        tolerance = 20 * np.finfo(dtype).eps * size
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_minimal_filtering_does_not_depend_on_how_images_are_grouped(monkeypatch):
    window = Window((3, 3), (1, 1), "SAME")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 5, 6, 32))
    filters = winograd.transformed(list(rng.standard_normal((9, 32, 4))))
    whole = winograd.convolve(x, window, filters)
    monkeypatch.setattr(winograd, "ENTRIES", 1)
    alone = winograd.convolve(x, window, filters)
    np.testing.assert_allclose(alone, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "shape, strides", [((3, 2), (1, 1)), ((3, 3), (1, 2)), ((3,), (1,))]
)
def test_minimal_filtering_is_for_three_columns_without_strides(shape, strides):
    x = np.ones((1, *(6,) * len(shape), 64))
    assert not winograd.applies(x, Window(shape, strides, "SAME"))


def test_minimal_filtering_is_for_many_features_and_long_rows():
    window = Window((3, 3), (1, 1), "SAME")
    assert winograd.applies(np.ones((1, 6, 6, 32)), window)
    assert not winograd.applies(np.ones((1, 6, 6, 31)), window)
    assert not winograd.applies(np.ones((1, 6, 2, 32)), window)
    assert not winograd.applies(np.ones((1, 6, 6, 32)), None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 16, 37])
@pytest.mark.parametrize("f", [tg.Relu(), tg.Gelu()], ids=repr)
def test_compiled_kernels_are_those_of_the_activation(f, m, dtype):
    rng = np.random.default_rng(0)
    z, u = rng.standard_normal((m, 9)), rng.standard_normal((3, 4, 9))
    u[0, 0], u[0, 1], u[0, 2] = 0.0, z[0], -2 * z[0]
    p, q, c = (u * u).sum(axis=-1, keepdims=True), (z * z).sum(axis=-1), u @ z.T
    theta = rng.standard_normal(c.shape)
    k, k_dot = f.value_and_derivative(p, q, c)
    narrow = (a.astype(dtype) for a in (p, q, c, theta))
    found = compiled(f, c.astype(dtype))(*narrow)
    eps = np.finfo(dtype).eps
    for ours, exact in zip(found, (k, theta * k_dot), strict=True):
        assert ours.dtype == dtype
        # A covariance rounded by eps turns an angle of nearly 0 by sqrt(2 eps).
        atol = (2 * eps) ** 0.5 * np.abs(exact).max()
        np.testing.assert_allclose(ours, exact, atol=atol)
        inside = np.abs(np.abs(c / np.sqrt(np.maximum(p * q, 1e-9))) - 1) > 1e-3
        error = np.abs(ours - exact)[inside]
        assert error.max(initial=0.0) < 100 * eps * np.abs(exact).max()


def test_what_has_no_compiled_kernels_is_left_to_its_formulas():
    class Unknown(tg.Activation):
        pass

    assert compiled(Unknown(), np.ones(3)) is None
    assert compiled(tg.Relu(), [1.0]) is None
