"""Ridge regression on features: streamed, validated; and as a preconditioner."""

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg

import tangency as tg

W = 2**0.5
NET = tg.serial(*(tg.Dense(8, W, 0.1), tg.Relu()) * 2, tg.Dense(1))


def problem(n=60, r=12, k=2, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, r))
    return z, z @ rng.standard_normal((r, k)) + 0.3 * rng.standard_normal((n, k))


@pytest.mark.parametrize("scale", ["trace", "absolute"])
@pytest.mark.parametrize("r", [12, 90])
def test_feature_ridge_is_kernel_ridge_with_the_product_of_features(scale, r):
    z, y = problem(r=r)
    test = problem(9, r, seed=1)[0]
    model = tg.FeatureRidge.fit(z, y, 0.1, ridge_scale=scale)
    exact = tg.Posterior.fit(z @ z.T, y, 0.1, scale).mean(test @ z.T)
    np.testing.assert_allclose(model.predict(test), exact, rtol=1e-9)


def test_a_stream_of_batches_gives_the_solution_of_the_whole():
    z, y = problem()
    moments = [tg.Moments.of(z[i : i + 7], y[i : i + 7]) for i in range(0, 60, 7)]
    total = sum(moments[1:], moments[0])
    assert total.count == 60
    streamed = tg.FeatureRidge.from_moments(total, 0.01)
    whole = tg.FeatureRidge.fit(z, y, 0.01)
    np.testing.assert_allclose(streamed.weights, whole.weights, rtol=1e-9)
    residual = z @ whole.weights - y
    error = total.mean_squared_error(whole.weights)
    assert np.isclose(error, np.mean(residual**2), rtol=1e-9)


def test_float32_features_are_accumulated_in_float64():
    z, y = problem()
    z = z.astype(np.float32)
    assert tg.Moments.of(z, y).gram.dtype == np.float64
    np.testing.assert_allclose(
        tg.Moments.of(z, y).gram, z.astype(np.float64).T @ z, rtol=1e-12
    )


@pytest.mark.parametrize("rows", [None, slice(25, None)])
@pytest.mark.parametrize("criterion", ["mse", "error"])
@pytest.mark.parametrize("r", [12, 90])
def test_leave_one_out_is_that_of_fits_without_each_row(r, criterion, rows):
    z, y = problem(40, r)
    options = {"ridge_scale": "absolute", "criterion": criterion, "rows": rows}
    ridges = (1e-3, 1e-1, 1.0)
    choice = tg.FeatureRidge.fit(z, y, ridges=ridges, **options).choice
    for ridge, error in zip(ridges, choice.errors, strict=True):
        found = []
        for i in range(len(z)):
            kept = np.arange(len(z)) != i
            model = tg.FeatureRidge.fit(z[kept], y[kept], ridge, ridge_scale="absolute")
            found.append(model.predict(z[i : i + 1])[0])
        wrong = np.argmax(found, axis=1) != y.argmax(axis=1)
        expected = wrong if criterion == "error" else np.square(found - y)
        assert np.isclose(error, np.mean(expected[rows or slice(None)]), rtol=1e-7)


def test_a_rate_of_errors_needs_a_column_for_each_class():
    z, y = problem(k=1)
    with pytest.raises(ValueError, match="criterion is 'error' for y of 1 columns"):
        tg.FeatureRidge.fit(z, y, criterion="error")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (slice(60, None), "expected one of 60 rows"),
        ([60], "rows: index 60"),
        ([], "rows: "),
        ([True], "rows: "),
    ],
)
def test_rows_that_do_not_exist_are_refused(rows, message):
    z, y = problem()
    with pytest.raises(ValueError, match=message):
        tg.FeatureRidge.fit(z, y, rows=rows)


def test_a_ridge_is_validated_on_held_out_rows_that_do_not_train():
    z, y = problem(90)
    train, held = tg.Moments.of(z[:60], y[:60]), tg.Moments.of(z[60:], y[60:])
    model = tg.FeatureRidge.validated(train, held, ridges=(1e-4, 1e-2, 1.0))
    fits = {r: tg.FeatureRidge.from_moments(train, r) for r in (1e-4, 1e-2, 1.0)}
    errors = {r: np.mean((m.predict(z[60:]) - y[60:]) ** 2) for r, m in fits.items()}
    assert model.ridge == min(errors, key=errors.get)
    np.testing.assert_allclose(model.choice.errors, list(errors.values()), rtol=1e-9)
    np.testing.assert_allclose(model.weights, fits[model.ridge].weights, rtol=1e-6)


def test_test_data_take_no_part_in_landmarks_or_ridge():
    """Held-out discipline: nothing but the training set decides anything."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 1))
    kernel = tg.SketchedKernel(NET, 20).fit(x)
    model = tg.FeatureRidge.fit(kernel.features(x), y)
    near, far = rng.standard_normal((2, 8, 6))
    both = model.predict(kernel.features(np.concatenate([near, 100 * far])))
    alone = model.predict(kernel.features(near))
    np.testing.assert_allclose(both[:8], alone, rtol=1e-9)


@pytest.mark.slow
def test_digits_by_sketched_ridge_are_nearly_those_of_the_exact_kernel():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    train, test = tg.digits()
    train, test = train.few(300), test.take(np.arange(300))
    conv = tg.Conv(8, (3, 3), padding="SAME", W_std=W, b_std=0.1)
    net = tg.serial(*(conv, tg.Relu()) * 2, tg.Flatten(), tg.Dense(1))
    exact = tg.KernelRegression.fit(
        tg.ExactKernel(net), train.images, train.targets, ridge="loo"
    ).predict(test.images)
    kernel = tg.SketchedKernel(net, 64).fit(train.images)
    model = tg.FeatureRidge.fit(kernel.features(train.images), train.targets)
    sketched = model.predict(kernel.features(test.images))
    best = tg.accuracy(exact.mean, test.labels)
    assert tg.accuracy(sketched, test.labels) > best - 0.02 > 0.9


def test_features_precondition_conjugate_gradients_on_the_exact_kernel():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 8)) * 0.6 ** np.arange(8)
    y = rng.standard_normal(200)
    K = tg.ExactKernel(NET)(x, get="ntk")
    ridge = 1e-3
    system = LinearOperator(K.shape, matvec=lambda v: K @ v + ridge * v)
    z = tg.SketchedKernel(NET, 100).fit(x).features(x)
    steps = {}
    for name, M in {
        "plain": None,
        "sketch": tg.feature_preconditioner(z, ridge),
    }.items():
        count = []
        found, failed = cg(
            system, y, rtol=1e-8, M=M, maxiter=5000, callback=count.append
        )
        assert not failed
        np.testing.assert_allclose(K @ found + ridge * found, y, atol=1e-5)
        steps[name] = len(count)
    assert 3 * steps["sketch"] < steps["plain"]


def test_a_preconditioner_is_the_inverse():
    z, _ = problem(20, 5)
    M = tg.feature_preconditioner(z, 0.3)
    product = (z @ z.T + 0.3 * np.eye(20)) @ (M @ np.eye(20))
    np.testing.assert_allclose(product, np.eye(20), atol=1e-10)


def test_bad_arguments_are_refused():
    z, y = problem()
    with pytest.raises(ValueError, match="y has shape"):
        tg.Moments.of(z, y[:5])
    with pytest.raises(ValueError, match="expected the same for all batches"):
        tg.Moments.of(z, y) + tg.Moments.of(z[:, :3], y)
    with pytest.raises(ValueError, match="ridge_scale is 'relative'"):
        tg.FeatureRidge.fit(z, y, 0.1, ridge_scale="relative")
    with pytest.raises(TypeError, match="ridge is 'best'"):
        tg.FeatureRidge.fit(z, y, "best")
    with pytest.raises(ValueError, match="expected a number > 0"):
        tg.feature_preconditioner(z, 0.0)
    with pytest.raises(ValueError, match="z has shape"):
        tg.FeatureRidge.fit(z, y).predict(z[:, :3])
