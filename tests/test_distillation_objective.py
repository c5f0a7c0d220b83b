"""The objective of KIP and its gradients, against autodiff through all of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st

import tangency as tg
from tangency.distillation.ridge_loss import ridge_loss

DENSE = tg.serial(
    tg.Dense(8, W_std=2**0.5, b_std=0.1),
    tg.Relu(),
    tg.Dense(8, W_std=2**0.5, b_std=0.1),
    tg.Relu(),
    tg.Dense(3),
)
CONV = tg.serial(
    tg.Conv(8, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1),
    tg.Relu(),
    tg.AvgPool((2, 2), (2, 2)),
    tg.Conv(8, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1),
    tg.Relu(),
    tg.Flatten(),
    tg.Dense(3),
)


def problem(n, m, shape, seed=0):
    """A support set and targets: images, labels, x, y."""
    rng = np.random.default_rng(seed)
    images, x = rng.normal(size=(n, *shape)), rng.normal(size=(m, *shape))
    return images, rng.normal(size=(n, 3)), x, rng.normal(size=(m, 3))


def whole_loss(kernel, images, labels, x, y, ridge, get):
    """The loss as it is written, in JAX or torch."""
    xp = array_namespace(images)
    n, m = len(images), len(x)
    k_ss, k_ts = kernel(images, None, get), kernel(x, images, get)
    eye = xp.eye(n, dtype=images.dtype)
    a = k_ss + ridge * xp.linalg.trace(k_ss) / n * eye
    return xp.sum((k_ts @ xp.linalg.solve(a, labels) - y) ** 2) / (2 * m)


def by_torch(kernel, case, ridge, get):
    """The loss and its gradients by autodiff through all of it."""
    tensors = [torch.tensor(a) for a in case]
    leaves = [t.requires_grad_() for t in tensors[:2]]
    value = whole_loss(kernel, *tensors, ridge, get)
    return value.detach(), torch.autograd.grad(value, leaves)


def by_jax(kernel, case, ridge, get):
    """The same by JAX."""
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in case]
        both = jax.value_and_grad(
            lambda *some: whole_loss(kernel, *some, *arrays[2:], ridge, get), (0, 1)
        )
        return jax.jit(both)(*arrays[:2])


def check(
    kernel, case, ridge=1e-3, get="ntk", same=None, reference=by_torch, **options
):
    """Compare with autodiff through the whole loss, of the kernel ``same`` if given."""
    found = tg.kip_gradients(kernel, *case, ridge, get, **options)
    value, (images, labels) = reference(same or kernel, case, ridge, get)
    for got, expected in (
        (found.loss, value),
        (found.images, images),
        (found.labels, labels),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=15)
@given(
    n=st.integers(1, 9),
    m=st.integers(1, 12),
    tile=st.sampled_from([1, 2, 5, None]),
    get=st.sampled_from(["ntk", "nngp"]),
)
def test_gradients_equal_autodiff_through_the_whole_loss(n, m, tile, get):
    exact = tg.ExactKernel(DENSE, engine="exact")
    case = problem(n, m, (4,), seed=n + 10 * m)
    check(tg.ExactKernel(DENSE), case, 1e-2, get, exact, tile=tile)


def test_gradients_equal_autodiff_of_jax_through_the_whole_loss():
    exact = tg.ExactKernel(DENSE, engine="exact")
    case = problem(5, 7, (4,))
    check(tg.ExactKernel(DENSE), case, same=exact, reference=by_jax, tile=3)
    check(exact, case, reference=by_jax)


@pytest.mark.parametrize("tile", [2, None])
def test_gradients_of_convolutional_kernels_equal_autodiff(tile):
    exact = tg.ExactKernel(CONV, engine="exact")
    case = problem(4, 5, (4, 4, 2))
    check(tg.ExactKernel(CONV), case, same=exact, tile=tile)


def test_gradients_are_those_of_finite_differences():
    kernel = tg.ExactKernel(DENSE)
    images, labels, x, y = problem(3, 4, (4,))
    slope = np.random.default_rng(1).normal(size=images.shape)
    found = tg.kip_gradients(kernel, images, labels, x, y, 1e-2)
    h = 1e-5
    ends = [
        tg.kip_gradients(kernel, images + s * h * slope, labels, x, y, 1e-2).loss
        for s in (1, -1)
    ]
    # A central difference with step 1e-5: its error is about 1e-10 of the values.
    expected = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(np.sum(found.images * slope), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["hybrid", "random"])
def test_gradients_of_sketched_kernels_equal_autodiff(method):
    case = problem(4, 5, (4,))
    kernel = tg.SketchedKernel(DENSE, dim=32, method=method)
    if method != "random":
        kernel = kernel.fit(np.random.default_rng(2).normal(size=(40, 4)))
    check(kernel, case, tile=3)


def test_gradients_of_empirical_kernels_of_jax_equal_autodiff():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        params = {"W": jnp.asarray(rng.normal(size=(4, 6))), "v": jnp.ones((6, 3))}
        kernel = tg.EmpiricalKernel(lambda p, x: jnp.tanh(x @ p["W"]) @ p["v"], params)
        check(kernel, problem(4, 5, (4,)), reference=by_jax)


def test_gradients_of_empirical_kernels_of_torch_equal_autodiff():
    rng = np.random.default_rng(0)
    weights = {"W": rng.normal(size=(4, 6)), "v": np.ones((6, 3))}
    kernel = tg.EmpiricalKernel(
        lambda p, x: torch.tanh(x @ p["W"]) @ p["v"],
        {name: torch.tensor(w) for name, w in weights.items()},
    )
    with jax.enable_x64(True):
        same = tg.EmpiricalKernel(
            lambda p, x: jnp.tanh(x @ p["W"]) @ p["v"],
            {name: jnp.asarray(w) for name, w in weights.items()},
        )
        case = problem(4, 5, (4,))
        # The kernel looks at new inputs once, which it cannot while JAX traces them.
        same(*map(jnp.asarray, (case[2], case[0])))
        check(kernel, case, same=same, reference=by_jax, tile=2)
        check(kernel, case, get="nngp", same=same, reference=by_jax)


def test_kernels_without_gradients_in_their_inputs_are_refused():
    params = {"W": torch.ones(4, 3, dtype=torch.float64)}
    kernel = tg.EmpiricalKernel(lambda p, x: torch.tanh(x @ p["W"]), params)
    with pytest.raises(TypeError, match="records no gradients.*EmpiricalKernel itself"):
        wrapped = Wrapped(kernel, params)
        tg.kip_gradients(wrapped, *problem(4, 5, (4,)))


class Wrapped:
    """A function of torch that calls a kernel whose results have no graph."""

    def __init__(self, kernel, params):
        self.f, self.params, self.kernel = kernel.f, params, kernel

    def __call__(self, x1, x2, get):
        return self.kernel(x1, x2, get)


@pytest.mark.parametrize("library", [torch.tensor, jnp.asarray])
def test_inputs_of_every_library_give_the_same_gradients(library):
    with jax.enable_x64(True):
        images, labels, x, y = problem(4, 5, (4,))
        kernel = tg.ExactKernel(DENSE)
        found = tg.kip_gradients(kernel, library(images), labels, library(x), y)
        expected = tg.kip_gradients(kernel, images, labels, x, y)
    np.testing.assert_allclose(found.images, expected.images, rtol=1e-9, atol=1e-12)


def test_float32_images_are_solved_for_in_float64():
    images, labels, x, y = problem(6, 20, (4,))
    kernel = tg.ExactKernel(DENSE)
    single = [a.astype(np.float32) for a in (images, x)]
    found = tg.kip_gradients(kernel, single[0], labels, single[1], y, 1e-3)
    expected = tg.kip_gradients(kernel, images, labels, x, y, 1e-3)
    assert found.images.dtype == np.float32 and found.labels.dtype == np.float64
    scale = np.abs(expected.images).max()
    # Rounding errors of the kernel, 1e-7, times the condition number of the system.
    np.testing.assert_allclose(found.images, expected.images, atol=1e-4 * scale)


def test_gradients_do_not_depend_on_the_number_of_threads(monkeypatch):
    case = problem(20, 200, (4,))
    bits = []
    for threads in ("1", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        found = tg.kip_gradients(tg.ExactKernel(DENSE), *case, tile=16)
        bits.append(found.images)
    np.testing.assert_array_equal(*bits)


@settings(max_examples=20)
@given(n=st.integers(1, 6), m=st.integers(1, 6), ridge=st.sampled_from([1e-6, 0.1]))
def test_the_loss_has_the_gradients_of_autodiff_in_both_matrices(n, m, ridge):
    rng = np.random.default_rng(n + 10 * m)
    root = rng.normal(size=(n, n))
    k_ss, k_st = root @ root.T + np.eye(n), rng.normal(size=(n, m))
    y_s, y_t = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))

    leaves = [torch.tensor(a, requires_grad=True) for a in (k_ss, k_st, y_s)]
    a = leaves[0] + ridge * leaves[0].trace() / n * torch.eye(n, dtype=torch.float64)
    residual = leaves[1].T @ torch.linalg.solve(a, leaves[2]) - torch.tensor(y_t)
    value = (residual**2).sum() / (2 * m)
    slopes = torch.autograd.grad(value, leaves)
    found = ridge_loss(k_ss, k_st, y_s, y_t, ridge)
    np.testing.assert_allclose(found.value, value.detach(), rtol=1e-10)
    for got, expected in zip(
        (found.k_ss, found.k_st, found.labels), slopes, strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


def test_cotangents_of_the_wrong_shape_are_refused():
    x = np.ones((2, 4))
    with pytest.raises(ValueError, match=r"cotangent has shape \(3, 2\), expected"):
        tg.compute_gradient(tg.ExactKernel(DENSE), x, None, np.ones((3, 2)))


def test_label_solve_is_least_squares_over_the_training_set():
    kernel = tg.ExactKernel(DENSE)
    images, _, x, y = problem(6, 40, (4,))
    found = tg.label_solve(kernel, images, x, y, ridge=1e-3, rows=7)
    k_ss, k_ts = kernel(images, get="ntk"), kernel(x, images, "ntk")
    a = k_ss + 1e-3 * np.trace(k_ss) / 6 * np.eye(6)
    expected = np.linalg.pinv(k_ts @ np.linalg.inv(a)) @ y
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    slope = tg.kip_gradients(kernel, images, found, x, y, 1e-3).labels
    np.testing.assert_allclose(slope, 0, atol=1e-12)
