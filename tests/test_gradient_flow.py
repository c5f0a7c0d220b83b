"""Gradient flow against an ODE, sampled ensembles and gradient descent itself."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import tangency as tg

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


def flow_by_ode(theta, theta_test, y, times, ridge=0.0):
    """Mean predictions by integrating the gradient flow of the weights' coefficients.

    With f = theta a, the weights move by da/dt = -(theta a - y + ridge a) / N.
    """
    n = len(theta)

    def velocity(t, a):
        a = a.reshape(y.shape)
        return -((theta + ridge * np.eye(n)) @ a - y).ravel() / y.size

    solved = solve_ivp(
        velocity,
        (0, max(times)),
        np.zeros(y.size),
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
        method="DOP853",
    )
    return [theta_test @ a.reshape(y.shape) for a in solved.y.T]


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_gradient_flow_solves_its_differential_equation(ridge):
    x, y, x_test = problem()
    k, k_test, _ = matrices(x, x_test, "ntk")
    times = np.asarray([0.0, 1.0, 30.0, 300.0])
    flow = tg.Flow.fit(k, y, ridge=ridge, ridge_scale="absolute")
    expected = flow_by_ode(k, k_test, y, times, ridge)
    # The tolerance of the integrator.
    np.testing.assert_allclose(flow.mean(k_test, times), expected, atol=1e-8)


def test_the_learning_rate_scales_time():
    x, y, x_test = problem()
    k, k_test, _ = matrices(x, x_test, "ntk")
    fast = tg.Flow.fit(k, y, learning_rate=3.0).mean(k_test, 2.0)
    np.testing.assert_allclose(fast, tg.Flow.fit(k, y).mean(k_test, 6.0), rtol=1e-12)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_ensemble_covariance_equals_that_of_sampled_initialisations(get):
    # f_t is linear in f_0, so the covariance follows from the joint prior covariance.
    x, y, x_test = problem(n=6, m=4)
    K, K_test, K_prior = matrices(x, x_test)
    T, T_test, _ = matrices(x, x_test, get)
    for t in (0.0, 2.0, 50.0):
        w, V = np.linalg.eigh(T)
        A = T_test @ (V * ((1 - np.exp(-w * t / y.size)) / w)) @ V.T
        mix = np.hstack([-A, np.eye(4)])
        joint = np.block([[K, K_test.T], [K_test, K_prior]])
        expected = mix @ joint @ mix.T
        nngp = K if get == "ntk" else None
        flow = tg.Flow.fit(T, y, get, nngp)
        extra = K_test if get == "ntk" else None
        got = flow.covariance(T_test, K_prior, t, extra)
        np.testing.assert_allclose(got, expected, atol=1e-11)
        got = flow.variance(T_test, np.diagonal(K_prior), t, extra)
        np.testing.assert_allclose(got, np.diagonal(expected), atol=1e-11)


def test_at_infinite_time_the_flow_is_kernel_ridge_regression():
    x, y, x_test = problem()
    for get in ("nngp", "ntk"):
        k, k_test, prior = matrices(x, x_test, get)
        flow = tg.Flow.fit(k, y, get, ridge=1e-3)
        posterior = tg.Posterior.fit(k, y, ridge=1e-3)
        mean = posterior.mean(k_test)
        np.testing.assert_allclose(flow.mean(k_test), mean, rtol=1e-8)
        np.testing.assert_allclose(flow.mean(k_test, 1e12), mean, rtol=1e-8)
        if get == "nngp":
            expected = posterior.covariance(k_test, prior)
            got = flow.covariance(k_test, prior)
            np.testing.assert_allclose(got, expected, atol=1e-10)


def test_a_singular_kernel_flows_to_the_minimum_norm_solution():
    x, y, x_test = problem(n=6)
    x, y = np.concatenate([x, x]), np.concatenate([y, y])
    k, k_test, _ = matrices(x, x_test, "ntk")
    expected = k_test @ np.linalg.pinv(k, rcond=1e-12) @ y
    # The eigenvalues that are left span four orders of magnitude.
    got = tg.Flow.fit(k, y).mean(k_test)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)
    assert np.isfinite(tg.Flow.fit(k, y).mean(k_test, [0.0, 1e-300, 1e300])).all()


def test_times_of_any_shape_come_first_in_the_result():
    x, y, x_test = problem()
    model = tg.GradientFlow.fit(KERNEL, x, y)
    single = model.predict(x_test, t=1.0)
    assert single.mean.shape == (5, 2) and single.variance is None
    several = model.predict(x_test, np.ones((2, 3)), "covariance")
    assert several.mean.shape == (2, 3, 5, 2)
    assert several.covariance.shape == (2, 3, 5, 5)
    np.testing.assert_array_equal(several.mean[1, 2], single.mean)
    diagonal = model.predict(x_test, np.ones(2), "variance").variance[0]
    np.testing.assert_allclose(diagonal, np.diagonal(several.covariance[0, 0]))


def test_max_learning_rate_is_where_gradient_descent_starts_to_diverge():
    x, y, _ = problem()
    k = KERNEL(x, get="ntk")
    limit = tg.max_learning_rate(k, outputs=2)

    def loss_after(steps, rate):
        f = np.zeros_like(y)
        for _ in range(steps):
            f = f - rate * k @ (f - y) / y.size
        return np.sum((f - y) ** 2)

    assert loss_after(2000, 0.99 * limit) < np.sum(y**2)
    assert loss_after(2000, 1.01 * limit) > np.sum(y**2)
