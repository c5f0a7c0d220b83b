"""Regression against closed forms, brute force, an ODE and scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

import tangency as tg
from tangency.regression.matrices import MAX_ROWS

NET = tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(2, b_std=0.1))
KERNEL = tg.ExactKernel(NET)


def problem(n=12, m=5, outputs=2, seed=0):
    """Training inputs and targets, test inputs."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(n, outputs))
    return x, y, rng.normal(size=(m, 3))


def matrices(x, x_test, get="nngp"):
    """Train-train, test-train and test-test kernels."""
    return KERNEL(x, get=get), KERNEL(x_test, x, get), KERNEL(x_test, get=get)


def test_mean_and_covariance_equal_those_of_scikit_learn():
    x, y, x_test = problem()
    rbf = RBF(1.3)
    theirs = GaussianProcessRegressor(rbf, alpha=0.1, optimizer=None).fit(x, y)
    mean, covariance = theirs.predict(x_test, return_cov=True)
    _, deviation = theirs.predict(x_test, return_std=True)
    ours = tg.Posterior.fit(rbf(x), y, ridge=0.1, ridge_scale="absolute")
    k_test = rbf(x_test, x)
    np.testing.assert_allclose(ours.mean(k_test), mean, rtol=1e-11)
    got = ours.covariance(k_test, rbf(x_test))
    np.testing.assert_allclose(got, covariance[..., 0], rtol=1e-11, atol=1e-14)
    got = ours.variance(k_test, rbf.diag(x_test))
    np.testing.assert_allclose(got, deviation[:, 0] ** 2, rtol=1e-11)
    likelihood = theirs.log_marginal_likelihood()
    assert ours.log_marginal_likelihood() == pytest.approx(likelihood, rel=1e-12)


def test_mean_equals_kernel_ridge_of_scikit_learn():
    x, y, x_test = problem()
    k, k_test, _ = matrices(x, x_test, "ntk")
    theirs = KernelRidge(alpha=0.3, kernel="precomputed").fit(k, y).predict(k_test)
    ours = tg.Posterior.fit(k, y, ridge=0.3, ridge_scale="absolute").mean(k_test)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_log_marginal_likelihood_is_the_density_of_the_targets():
    x, y, _ = problem(n=6, outputs=3)
    k = KERNEL(x, get="nngp")
    p = tg.Posterior.fit(k, y, ridge=0.2, ridge_scale="absolute")
    density = multivariate_normal(np.zeros(6), k + 0.2 * np.eye(6))
    assert p.log_marginal_likelihood() == pytest.approx(np.sum(density.logpdf(y.T)))


def test_a_trace_ridge_does_not_notice_the_scale_of_the_kernel():
    x, y, x_test = problem()
    k, k_test, _ = matrices(x, x_test)
    one = tg.Posterior.fit(k, y, ridge=0.1).mean(k_test)
    other = tg.Posterior.fit(1000 * k, y, ridge=0.1).mean(1000 * k_test)
    np.testing.assert_allclose(one, other, rtol=1e-11)
    absolute = 0.1 * np.trace(k) / len(k)
    same = tg.Posterior.fit(k, y, absolute, "absolute").mean(k_test)
    np.testing.assert_allclose(one, same, rtol=1e-12)


def test_without_ridge_the_training_targets_are_met_without_variance():
    x, y, _ = problem()
    k = KERNEL(x, get="ntk")
    p = tg.Posterior.fit(k, y)
    np.testing.assert_allclose(p.mean(k), y, rtol=1e-9)
    assert p.variance(k, np.diagonal(k)).max() < 1e-9
    assert p.jitter == 0 and p.residual < 1e-12


def test_condition_is_near_the_condition_number_in_the_1_norm():
    x, y, _ = problem()
    k = KERNEL(x, get="nngp")
    exact = np.linalg.cond(k + 0.1 * np.eye(len(k)), 1)
    estimate = tg.Posterior.fit(k, y, 0.1, "absolute").cholesky.condition
    # LAPACK promises a lower bound, nearly always within a factor of 3.
    assert exact / 3 < estimate < 1.001 * exact


def left_out(k, y, shift):
    """Leave-one-out predictions by fitting n times."""
    out = np.empty_like(y)
    for i in range(len(k)):
        rest = np.delete(np.arange(len(k)), i)
        A = k[np.ix_(rest, rest)] + shift * np.eye(len(rest))
        out[i] = k[i, rest] @ np.linalg.solve(A, y[rest])
    return out


@given(
    n=st.integers(2, 12),
    outputs=st.integers(1, 3),
    shift=st.floats(1e-3, 10),
    seed=st.integers(0, 100),
)
def test_leave_one_out_equals_fitting_n_times(n, outputs, shift, seed):
    x, y, _ = problem(n=n, outputs=outputs, seed=seed)
    k = KERNEL(x, get="nngp")
    expected = left_out(k, y, shift)
    p = tg.Posterior.fit(k, y, shift, "absolute")
    scale = np.abs(expected).max() + np.abs(y).max()
    # The condition number, up to 1e4 here, multiplies the rounding errors.
    np.testing.assert_allclose(p.leave_one_out(), expected, atol=1e-10 * scale)
    choice = tg.choose_ridge(k, y, [shift], "absolute")
    mse = np.mean((y - expected) ** 2)
    assert choice.errors[0] == pytest.approx(mse, rel=1e-8)


def test_the_chosen_ridge_has_the_smallest_error():
    x, y, _ = problem(n=30, outputs=3, seed=4)
    k = KERNEL(x, get="ntk")
    unit = np.trace(k) / len(k)
    ridges = [1.0, 1e-3, 1e-1, 10.0]
    by_hand = [np.mean((y - left_out(k, y, r * unit)) ** 2) for r in sorted(ridges)]
    choice = tg.choose_ridge(k, y, ridges)
    np.testing.assert_allclose(choice.errors, by_hand, rtol=1e-9)
    assert choice.ridge == sorted(ridges)[np.argmin(by_hand)]
    assert choice.at_edge == (choice.ridge in (1e-3, 10.0))


def test_a_ridge_can_be_chosen_by_the_classification_error():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    x = np.eye(3)[labels] + 0.7 * rng.normal(size=(30, 3))
    y, k = tg.centred_one_hot(labels), KERNEL(x, get="ntk")
    choice = tg.choose_ridge(k, y, [1e-4, 1e-2, 1.0], criterion="error")
    unit = np.trace(k) / len(k)
    wrong = [
        np.mean(left_out(k, y, r * unit).argmax(1) != labels) for r in (1e-4, 1e-2, 1.0)
    ]
    np.testing.assert_allclose(choice.errors, wrong)
    assert choice.errors[choice.ridges == choice.ridge] == min(wrong)


def test_repeated_inputs_are_solved_with_a_reported_jitter():
    x, y, _ = problem(n=6)
    x, y = np.concatenate([x, x]), np.concatenate([y, y])
    k = KERNEL(x, get="ntk")
    with pytest.warns(tg.JitterWarning, match="singular to rounding"):
        p = tg.Posterior.fit(k, y)
    mean = np.trace(k) / len(k)
    assert p.jitter == pytest.approx(1e-8 * mean)
    np.testing.assert_allclose(p.mean(k), y, atol=1e-5)
    assert 0 < p.residual < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tg.Posterior.fit(k, y, ridge=1e-6).jitter == 0


def test_jitter_grows_until_it_is_enough():
    k = np.diag([1.0, 1.0, -5e-7])
    with pytest.warns(tg.JitterWarning, match="1e-06 of its mean"):
        p = tg.Posterior.fit(k, np.ones(3))
    assert p.jitter == pytest.approx(1e-6 * np.trace(k) / 3)


def test_a_matrix_that_is_no_kernel_is_refused_with_its_smallest_eigenvalue():
    k = np.diag([1.0, 2.0, -0.5])
    with pytest.raises(
        tg.NotPositiveDefiniteError, match=r"about -0\.5.*at least 0\.5"
    ):
        tg.Posterior.fit(k, np.ones(3))
    for call in (tg.choose_ridge, tg.Flow.fit):
        with pytest.raises(tg.NotPositiveDefiniteError, match=r"-0\.5"):
            call(k, np.ones(3))
    with pytest.raises(tg.NotPositiveDefiniteError, match="mean diagonal 0"):
        tg.Posterior.fit(np.zeros((2, 2)), np.ones(2))


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_a_model_equals_its_matrices(get):
    x, y, x_test = problem(outputs=1)
    k, k_test, prior = matrices(x, x_test, get)
    p = tg.Posterior.fit(k, y[:, 0], 0.1)
    model = tg.KernelRegression.fit(KERNEL, x, y[:, 0], get, ridge=0.1)
    full = model.predict(x_test, "covariance")
    assert full.mean.shape == (5,) and full.variance is None
    np.testing.assert_allclose(full.mean, p.mean(k_test), rtol=1e-12)
    np.testing.assert_allclose(full.covariance, p.covariance(k_test, prior))
    diagonal = model.predict(x_test, "variance").variance
    np.testing.assert_allclose(diagonal, np.diagonal(full.covariance), rtol=1e-10)


def test_the_ridge_of_a_model_can_be_chosen_by_leave_one_out():
    x, y, _ = problem(n=20)
    k = KERNEL(x, get="ntk")
    choice = tg.choose_ridge(k, y)
    for cls in (tg.KernelRegression, tg.GradientFlow):
        model = cls.fit(KERNEL, x, y, ridge="loo")
        assert model.choice.ridge == choice.ridge
    given = tg.KernelRegression.fit(KERNEL, x, y, ridge=choice.ridge)
    assert given.choice is None


def test_arrays_of_any_library_are_taken_and_numpy_float64_is_returned(xp64):
    x, y, x_test = problem()
    k, k_test, _ = matrices(x, x_test)
    expected = tg.Posterior.fit(k, y, ridge=0.1).mean(k_test)
    k, y, k_test = (xp64.asarray(a, dtype=xp64.float64) for a in (k, y, k_test))
    got = tg.Posterior.fit(k, y, ridge=0.1).mean(k_test)
    assert type(got) is np.ndarray and got.dtype == np.float64
    np.testing.assert_array_equal(got, expected)


def test_float32_kernels_are_solved_in_float64():
    x, y, x_test = problem()
    single = [a.astype(np.float32) for a in (x, y, x_test)]
    model = tg.KernelRegression.fit(KERNEL, *single[:2], ridge=0.01)
    expected = tg.KernelRegression.fit(KERNEL, x, y, ridge=0.01).predict(x_test).mean
    got = model.predict(single[2]).mean
    assert got.dtype == np.float64
    # float32 inputs and kernels, a condition number of 1e3.
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_never_dropped_silently():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    x, y, _ = problem()
    tensor = torch.as_tensor(x).requires_grad_()
    with pytest.raises(TypeError, match=r"requires grad.*\.detach\(\)"):
        tg.Posterior.fit(tensor @ tensor.T, y)
    k = KERNEL(x, get="ntk").astype(np.float32)
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(lambda k: tg.Posterior.fit(k, y).weights)(k)


def bad_fits():
    x, y, _ = problem(n=4)
    k = KERNEL(x, get="ntk")
    hole = k.copy()
    hole[0, 1] = hole[1, 0] = np.nan
    crooked = k.copy()
    crooked[0, 1] += 1.0
    fit = tg.Posterior.fit
    yield "shape", lambda: fit(k[:3], y), ValueError, r"k has shape \(3, 4\)"
    yield "asymmetric", lambda: fit(crooked, y), ValueError, "not symmetric"
    yield "nan", lambda: fit(hole, y), ValueError, "2 entries that are NaN"
    yield "integers", lambda: fit(k.astype(int), y), TypeError, "int64"
    yield "labels", lambda: fit(k, np.arange(4)), TypeError, "centred_one_hot"
    yield "length", lambda: fit(k, y[:3]), ValueError, r"y has shape \(3, 2\)"
    yield "axes", lambda: fit(k, y[None]), ValueError, "y has shape"
    yield "list", lambda: fit([["a"]], y), TypeError, "expected float32 or float64"
    yield "negative", lambda: fit(k, y, -1.0), ValueError, "ridge is -1.0"
    yield "text", lambda: fit(k, y, "loo"), TypeError, "ridge is 'loo'"
    yield "scale", lambda: fit(k, y, 1.0, "rel"), ValueError, "ridge_scale is 'rel'"
    yield "between", lambda: fit(k, y).mean(k[:, :2]), ValueError, r"expected \[m, 4\]"
    yield "prior", lambda: fit(k, y).variance(k, k), ValueError, "prior has shape"
    huge = np.broadcast_to(1.0, (MAX_ROWS + 1, 1))
    many = np.ones(32_768)
    yield "huge", lambda: tg.choose_ridge(huge, many), ValueError, "32-bit integers"
    choose = tg.choose_ridge
    yield "zero", lambda: choose(k, y, [0.0]), ValueError, "all > 0"
    yield "none", lambda: choose(k, y, []), ValueError, "at least one"
    yield "rule", lambda: choose(k, y, criterion="auc"), ValueError, "criterion"
    one = y[:, 0]
    yield "class", lambda: choose(k, one, criterion="error"), ValueError, "per class"
    flow = tg.Flow.fit
    yield "time", lambda: flow(k, y).mean(k, -1.0), ValueError, "t is -1.0"
    yield "rate", lambda: flow(k, y, learning_rate=0), ValueError, "learning_rate"
    yield "regime", lambda: flow(k, y, "gp"), ValueError, "get is 'gp'"
    yield "nngp", lambda: flow(k, y).variance(k, one), ValueError, "nngp_test is miss"
    model = tg.KernelRegression.fit
    yield "get", lambda: model(KERNEL, x, y, "both"), ValueError, "get is 'both'"
    yield "loo", lambda: model(KERNEL, x, y, ridge="cv"), ValueError, "or 'loo'"
    fitted = model(KERNEL, x, y)
    yield "cov", lambda: fitted.predict(x, "std"), ValueError, "uncertainty is 'std'"
    yield "feat", lambda: fitted.predict(x[:, :2]), ValueError, "to match x1"
    rate = tg.max_learning_rate
    yield "momentum", lambda: rate(k, 1, 1.0), ValueError, "momentum is 1.0"
    yield "outputs", lambda: rate(k, 0), ValueError, "outputs is 0"


@pytest.mark.parametrize(
    ("call", "kind", "match"), [pytest.param(*c[1:], id=c[0]) for c in bad_fits()]
)
def test_bad_input_is_named(call, kind, match):
    with pytest.raises(kind, match=match):
        call()


def test_spectra_are_refused_just_where_lapack_loses_count():
    def numbers(n):
        # The workspace of dsyevd with eigenvectors.
        return 1 + 6 * n + 2 * n**2

    assert numbers(MAX_ROWS) < 2**31 <= numbers(MAX_ROWS + 1)


def test_a_tiled_matrix_that_is_too_large_is_refused_before_it_is_read(monkeypatch):
    x = np.ones((MAX_ROWS + 1, 1))
    k = tg.KernelMatrix(KERNEL, x)
    monkeypatch.setattr(tg.KernelMatrix, "tile", lambda *_: pytest.fail("it was read"))
    for fit in (tg.choose_ridge, tg.Flow.fit):
        with pytest.raises(ValueError, match=f"expected at most {MAX_ROWS}"):
            fit(k, x)
