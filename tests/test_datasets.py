"""Digits, labels and preprocessing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import tangency as tg


def test_digits_are_real_images_in_a_split_that_never_changes():
    train, test = tg.digits()
    assert train.images.shape == (1297, 8, 8, 1) and len(test) == 500
    assert train.images.dtype == np.float32
    assert train.images.min() == 0 and train.images.max() == 1
    again = tg.digits()[1]
    np.testing.assert_array_equal(test.labels, again.labels)
    # Pinned: results with this split can be compared for years.
    assert test.labels[:8].tolist() == [1, 5, 6, 9, 2, 4, 5, 6]
    other = tg.digits(seed=1)[1]
    assert not np.array_equal(test.images, other.images)


def test_training_and_test_digits_are_all_digits_once():
    train, test = tg.digits(test=100, seed=3)
    together = np.concatenate([train.images, test.images]).reshape(1797, -1) * 16
    got = sorted(map(tuple, together.astype(int)))
    assert got == sorted(map(tuple, load_digits().data.astype(int)))


def test_targets_are_centred_one_hot_labels():
    train, _ = tg.digits()
    assert train.targets.shape == (1297, 10)
    np.testing.assert_allclose(train.targets.sum(axis=1), 0, atol=1e-15)
    assert np.array_equal(train.targets.argmax(axis=1), train.labels)
    assert set(np.unique(train.targets).round(12)) == {0.9, -0.1}


def test_few_shot_subsets_are_balanced_and_nested_for_one_seed():
    train, _ = tg.digits()
    few, more = train.few(20, seed=5), train.few(80, seed=5)
    assert np.bincount(few.labels).tolist() == [2] * 10
    rows = {image.tobytes() for image in more.images}
    assert all(image.tobytes() in rows for image in few.images)
    assert not np.array_equal(few.images, train.few(20, seed=6).images)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_a_stratified_split_gives_every_class_its_share(labels, data):
    test = data.draw(st.integers(1, len(labels) - 1))
    left, right = tg.stratified_split(labels, test, seed=0)
    assert len(right) == test
    assert sorted([*left, *right]) == list(range(len(labels)))
    share = np.bincount(labels) * test / len(labels)
    got = np.bincount(np.asarray(labels)[right], minlength=len(share))
    assert np.all(np.abs(got - share) < 1)


def test_accuracy_is_the_fraction_of_largest_predictions_at_the_label():
    assert tg.accuracy([[1, 2], [3, 0], [0, 1]], [1, 0, 0]) == pytest.approx(2 / 3)


def images(n=20, shape=(4, 4, 3), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(2.0, 3.0, size=(n, *shape)).astype(dtype)


def test_standardised_channels_have_mean_0_and_deviation_1():
    x = images()
    z = tg.Standardize.fit(x).transform(x)
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0, atol=1e-14)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1, rtol=1e-13)


def test_constant_features_are_only_centred():
    x = np.stack([np.full(7, 0.1), np.arange(7.0)], axis=1)
    z = tg.Standardize.fit(x).transform(x)
    np.testing.assert_allclose(z[:, 0], 0, atol=1e-15)
    assert z[:, 1].std() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_normalised_images_have_mean_0_and_norm_1(dtype, scale):
    x = (images(5) * scale).astype(dtype)
    x[0] = 0.1 * scale
    z = tg.normalize_images(x)
    assert z.dtype == dtype and z.shape == x.shape
    assert not z[0].any()
    flat = z[1:].reshape(4, -1).astype(np.float64)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(flat.mean(axis=1), 0, atol=eps)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), 1, rtol=10 * eps)


def naive_zca(x, other, ridge):
    """The formula of the design, by singular value decomposition."""
    mean, std = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))

    def unit(a):
        flat = ((a - mean) / std).reshape(len(a), -1)
        flat = flat - flat.mean(axis=1)[:, None]
        return flat / np.linalg.norm(flat, axis=1)[:, None]

    n, d = unit(x).shape
    cov = unit(x).T @ unit(x) / n
    U, s, _ = np.linalg.svd(cov + ridge * np.trace(cov) / d * np.eye(d))
    scale = s**-0.5
    scale[n:] = 1.0
    return (unit(other) @ (U * scale) @ U.T).reshape(other.shape)


@pytest.mark.parametrize("n", [200, 48, 20])
def test_zca_equals_its_formula_also_for_fewer_images_than_pixels(n):
    x, other = images(n), images(7, seed=1)
    zca = tg.RegularizedZCA.fit(x, ridge=0.1)
    expected = naive_zca(x, other, 0.1)
    np.testing.assert_allclose(zca.transform(other), expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(zca.whitening, zca.whitening.T, atol=1e-12)


def test_zca_with_a_tiny_ridge_whitens_the_training_set():
    x = images(400)
    z = tg.RegularizedZCA.fit(x, ridge=1e-9).transform(x).reshape(400, -1)
    w = np.linalg.eigvalsh(z.T @ z / 400)
    # One direction is lost to the mean of every image.
    assert w[0] < 1e-3
    np.testing.assert_allclose(w[1:], 1, rtol=1e-5)


def test_zca_computes_in_float64_and_returns_float32():
    x = images(300, dtype=np.float32)
    got = tg.RegularizedZCA.fit(x).transform(x)
    assert got.dtype == np.float32
    expected = naive_zca(x.astype(np.float64), x.astype(np.float64), 0.1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def bad_calls():
    x = images(4)
    zca, train = tg.RegularizedZCA, tg.digits()[0]
    yield "integers", lambda: zca.fit(x.astype(int)), TypeError, "x has dtype int64"
    yield "nan", lambda: tg.normalize_images(x * np.nan), ValueError, "NaN or infinity"
    yield "one", lambda: tg.Standardize.fit(x[0, 0, 0]), ValueError, r"shape \(3,\)"
    yield "ridge", lambda: zca.fit(x, 0.0), ValueError, "ridge is 0.0"
    yield "flat", lambda: zca.fit(x * 0 + 1), ValueError, "constant images"
    yield "tail", lambda: zca.fit(x).transform(x[:, 1:]), ValueError, r"\(4, 4, 3\)"
    tail = tg.Standardize.fit(x)
    yield "channel", lambda: tail.transform(x[..., :2]), ValueError, r"channels to be"
    yield "float", lambda: tg.centred_one_hot([0.5]), TypeError, "expected integers"
    yield "negative", lambda: tg.centred_one_hot([-1, 1]), ValueError, "holds -1"
    yield "classes", lambda: tg.centred_one_hot([0, 3], 2), ValueError, "at least 4"
    yield "matrix", lambda: tg.centred_one_hot([[0]]), ValueError, r"shape \(1, 1\)"
    yield "rows", lambda: tg.accuracy(np.ones((2, 2)), [0]), ValueError, r"\[1, classes"
    yield "test", lambda: tg.stratified_split([0, 1], 2), ValueError, "between 1 and 1"
    yield "multiple", lambda: train.few(25), ValueError, "multiple of the 10 classes"
    yield "many", lambda: train.few(5000), ValueError, "the rarest class has"


@pytest.mark.parametrize(
    ("call", "kind", "match"), [pytest.param(*c[1:], id=c[0]) for c in bad_calls()]
)
def test_bad_input_is_named(call, kind, match):
    with pytest.raises(kind, match=match):
        call()
