"""Model selection: the marginal likelihood, its gradients, and validation."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import tangency as tg


def data(n=12):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def network(W_std, b_std, slope=0.1):
    return tg.serial(
        tg.Dense(1, W_std=W_std, b_std=b_std),
        tg.LeakyRelu(slope),
        tg.Dense(1, W_std=W_std, b_std=b_std),
    )


def test_it_is_the_density_of_a_gaussian(xp64):
    xp = xp64
    x, y = data()
    k = tg.ExactKernel(network(1.3, 0.2))(x, get="nngp")
    got = tg.log_marginal_likelihood(
        xp.asarray(k.tolist(), dtype=xp.float64),
        xp.asarray(y.tolist(), dtype=xp.float64),
        0.1,
    )
    covariance = k + 0.1 * np.eye(12)
    expected = sum(multivariate_normal(cov=covariance).logpdf(one) for one in y.T)
    assert float(got) == pytest.approx(expected, rel=1e-10)
    posterior = tg.Posterior.fit(k, y, 0.1, "absolute")
    assert posterior.log_marginal_likelihood() == pytest.approx(expected, rel=1e-10)


def likelihood(xp, W_std, b_std, slope, noise):
    """Of the test data, at hyperparameters that may be traced."""
    x, y = (xp.asarray(a.tolist(), dtype=xp.float64) for a in data())
    kernel = tg.ExactKernel(network(W_std, b_std, slope), engine="exact")
    return tg.log_marginal_likelihood(kernel(x, get="nngp"), y, noise)


@pytest.mark.skip_xp("numpy", "array_api_strict", reason="has no gradients")
def test_gradients_are_those_of_finite_differences(xp64):
    xp, point = xp64, np.asarray([1.3, 0.2, 0.3, 0.1])
    if xp.__name__ == "jax.numpy":
        jax = pytest.importorskip("jax", reason="the xp fixture is jax's")
        got = jax.jit(jax.grad(lambda p: likelihood(xp, *p)))(xp.asarray(point))
    else:
        torch = pytest.importorskip("torch", reason="the xp fixture is torch's")
        p = torch.tensor(point, requires_grad=True)
        (got,) = torch.autograd.grad(likelihood(xp, *p), p)
    step = 1e-5
    for i, unit in enumerate(step * np.eye(4)):
        there, back = (likelihood(np, *(point + s * unit)) for s in (1, -1))
        assert float(got[i]) == pytest.approx((there - back) / (2 * step), rel=1e-6)


@pytest.mark.skip_xp("numpy", "array_api_strict", reason="has no gradients")
def test_the_hyperparameters_that_made_the_data_are_found(xp64):
    xp, rng = xp64, np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    k = tg.ExactKernel(network(1.5, 0.4))(x, get="nngp") + 0.2 * np.eye(40)
    y = np.linalg.cholesky(k) @ rng.normal(size=(40, 30))
    x, y = (xp.asarray(a.tolist(), dtype=xp.float64) for a in (x, y))

    def kernel(W_std, b_std):
        exact = tg.ExactKernel(network(W_std, b_std), engine="exact")
        return exact(x, get="nngp")

    start = {"W_std": 1.0, "b_std": 1.0, "noise": 1.0}
    fit = tg.maximise_likelihood(kernel, start, y)
    assert fit.converged and max(map(abs, fit.gradient.values())) < 0.5
    # 1200 numbers: a few percent of deviation.
    assert fit.values["W_std"] == pytest.approx(1.5, rel=0.1)
    assert fit.values["noise"] == pytest.approx(0.2, rel=0.2)
    assert fit.values["b_std"] == pytest.approx(0.4, rel=0.5)


@pytest.mark.skip_xp("numpy", "array_api_strict", reason="has no gradients")
def test_a_parameter_of_an_activation_is_fitted_too(xp64):
    xp, rng = xp64, np.random.default_rng(1)
    x = rng.normal(size=(30, 3))
    k = tg.ExactKernel(network(1.4, 0.3, 0.4))(x, get="nngp") + 0.1 * np.eye(30)
    y = np.linalg.cholesky(k) @ rng.normal(size=(30, 40))
    x, y = (xp.asarray(a.tolist(), dtype=xp.float64) for a in (x, y))

    def kernel(slope):
        exact = tg.ExactKernel(network(1.4, 0.3, slope), engine="exact")
        return exact(x, get="nngp")

    fit = tg.maximise_likelihood(kernel, {"slope": 0.1, "noise": 0.5}, y)
    assert fit.converged
    assert fit.values["slope"] == pytest.approx(0.4, rel=0.25)


@pytest.mark.skip_xp("numpy", "array_api_strict", reason="has no gradients")
@pytest.mark.skip_xp("jax", reason="compiles for seconds, with the rules of torch")
def test_a_convolutional_likelihood_has_gradients(xp64):
    torch = pytest.importorskip("torch", reason="the xp fixture is torch's")
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(5, 4, 4, 2)), rng.normal(size=5)

    def value(W_std, b_std, a, b):
        conv = tg.Conv(1, (3, 3), W_std=W_std, b_std=b_std, padding="SAME")
        net = tg.serial(conv, tg.ABRelu(a, b), conv, tg.Relu(), tg.GlobalAvgPool())
        k = tg.ExactKernel(net, engine="exact")(x, get="nngp")
        return tg.log_marginal_likelihood(k, y, 0.1)

    point = np.asarray([1.3, 0.2, -0.3, 0.9])
    steps = 1e-5 * np.eye(4)
    expected = [(value(*(point + s)) - value(*(point - s))) / 2e-5 for s in steps]
    x, y, p = torch.tensor(x), torch.tensor(y), torch.tensor(point, requires_grad=True)
    (got,) = torch.autograd.grad(value(*p), p)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_variances_are_predicted_without_the_covariance_of_the_test_set():
    pairs = []

    def kernel(x1, x2=None, get="nngp"):
        pairs.append(len(x1) * len(x1 if x2 is None else x2))
        return tg.ExactKernel(network(1.3, 0.2))(x1, x2, get)

    (x, y), (other, _) = data(20), data(200)
    model = tg.KernelRegression.fit(kernel, x, y, get="nngp", ridge=0.1)
    pairs.clear()
    got = model.predict(other, "variance")
    # Test and training inputs, and blocks of eight on the diagonal.
    assert sum(pairs) <= 200 * 20 + 200 * 8 < 200 * 200 / 2
    whole = model.predict(other, "covariance")
    np.testing.assert_allclose(got.variance, np.diagonal(whole.covariance), rtol=1e-8)
    np.testing.assert_array_equal(got.mean, whole.mean)


def test_a_ridge_is_chosen_on_a_validation_set():
    (x, y), (other, truth) = data(30), (a + 0.1 for a in data(9))
    kernel = tg.ExactKernel(network(1.3, 0.2))
    k, k_other = kernel(x, get="ntk"), kernel(other, x, "ntk")
    ridges = [1e-3, 1e-1, 1.0, 10.0]
    choice = tg.choose_ridge(k, y, ridges, validation=(k_other, truth))
    errors = [
        np.mean((tg.Posterior.fit(k, y, r).mean(k_other) - truth) ** 2) for r in ridges
    ]
    np.testing.assert_allclose(choice.errors, errors, rtol=1e-8)
    assert choice.ridge == ridges[int(np.argmin(errors))]
    with pytest.raises(ValueError, match="its targets have 1 columns, expected 2"):
        tg.choose_ridge(k, y, validation=(k_other, truth[:, 0]))


def test_bad_input_is_named():
    k, y = np.eye(3), np.ones(3)
    with pytest.raises(ValueError, match=r"k has shape \(3, 2\)"):
        tg.log_marginal_likelihood(k[:, :2], y, 1.0)
    with pytest.raises(ValueError, match=r"y has shape \(2,\)"):
        tg.log_marginal_likelihood(k, y[:2], 1.0)
    with pytest.raises(TypeError, match="y is a ndarray, expected .* JAX or torch"):
        tg.maximise_likelihood(lambda: k, {"noise": 1.0}, y)
    with pytest.raises(ValueError, match="expected 'noise' among them"):
        tg.maximise_likelihood(lambda a: k, {"a": 1.0}, y)
    with pytest.raises(ValueError, match="a is 0.0"):
        tg.maximise_likelihood(lambda a: k, {"a": 0.0, "noise": 1.0}, y)
