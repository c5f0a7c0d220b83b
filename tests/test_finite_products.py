"""Products with the empirical NTK, Taylor expansions, and its spectrum."""

import numpy as np
import pytest

from tangency.kernels.finite import (
    EmpiricalKernel,
    linearize,
    ntk_spectrum,
    ntk_vector_product,
    taylor_expand,
)
from tangency.kernels.finite.lanczos import spectrum

jax = pytest.importorskip("jax")
jnp = jax.numpy
RNG = np.random.default_rng(0)
PARAMS = [RNG.standard_normal(s) for s in ((4, 6), (6, 2))]
X1, X2 = RNG.standard_normal((5, 4)), RNG.standard_normal((3, 4))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def f(p, x):
    return jnp.tanh(x @ p[0]) @ p[1]


def module():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 6, bias=False),
        torch.nn.Tanh(),
        torch.nn.Linear(6, 2, bias=False),
    ).double()
    with torch.no_grad():
        for layer, w in zip((net[0], net[2]), PARAMS, strict=True):
            layer.weight.copy_(torch.as_tensor(w.T))
    return net


def full():
    return np.asarray(EmpiricalKernel(f, PARAMS, trace_axes=())(X1, X2))


def test_products_equal_those_with_the_matrix():
    v = RNG.standard_normal((3, 2))
    want = np.einsum("nmop,mp->no", full(), v)
    got = ntk_vector_product(f, PARAMS, X1, X2)(v)
    np.testing.assert_allclose(got, want, atol=1e-12)
    symmetric = ntk_vector_product(f, PARAMS, X1)(np.ones((5, 2)))
    own = np.asarray(EmpiricalKernel(f, PARAMS, trace_axes=())(X1))
    np.testing.assert_allclose(symmetric, own.sum((1, 3)), atol=1e-12)


def test_torch_products_are_the_same():
    torch = pytest.importorskip("torch")
    x1, x2 = torch.as_tensor(X1), torch.as_tensor(X2)
    v = torch.as_tensor(RNG.standard_normal((3, 2)))
    got = ntk_vector_product(module(), None, x1, x2)(v)
    want = np.einsum("nmop,mp->no", full(), v.numpy())
    np.testing.assert_allclose(got.detach(), want, atol=1e-12)


def moved(step):
    rng = np.random.default_rng(1)
    return [p + step * rng.standard_normal(p.shape) for p in PARAMS]


def test_taylor_expansions_have_errors_of_the_next_order():
    for degree in (0, 1, 2, 3):
        g = taylor_expand(f, PARAMS, degree)
        errors = [
            np.abs(np.asarray(g(moved(h), X1) - f(moved(h), X1))).max()
            for h in (1e-2, 2e-2)
        ]
        order = np.log2(errors[1] / errors[0])
        assert order == pytest.approx(degree + 1, abs=0.2)


def test_linearisation_is_the_first_order():
    g = linearize(f, PARAMS)
    new = moved(1.0)
    step = [jnp.asarray(a - b) for a, b in zip(new, PARAMS, strict=True)]
    want = jax.jvp(lambda p: f(p, X1), (PARAMS,), (step,))
    np.testing.assert_allclose(g(new, X1), want[0] + want[1], atol=1e-12)


def test_torch_expansions_are_the_same():
    torch = pytest.importorskip("torch")
    net, x = module(), torch.as_tensor(X1)
    new = dict(zip(("0.weight", "2.weight"), moved(0.3), strict=True))
    new = {k: torch.as_tensor(v.T) for k, v in new.items()}
    for degree in (1, 2):
        got = taylor_expand(net, None, degree)(new, x)
        want = taylor_expand(f, PARAMS, degree)(moved(0.3), X1)
        np.testing.assert_allclose(got.detach(), want, atol=1e-12)


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_the_spectrum_is_that_of_the_matrix(framework):
    own = np.asarray(EmpiricalKernel(f, PARAMS, trace_axes=())(X1))
    matrix = own.transpose(0, 2, 1, 3).reshape(10, 10)
    want = np.linalg.eigvalsh(matrix)[::-1]
    args = (f, PARAMS, X1)
    if framework == "torch":
        torch = pytest.importorskip("torch")
        args = (module(), None, torch.as_tensor(X1))
    found = ntk_spectrum(*args, k=3, probes=400)
    np.testing.assert_allclose(found.eigenvalues, want[:3], rtol=1e-10)
    assert (np.abs(found.eigenvalues - want[:3]) <= found.residuals + 1e-9).all()
    # 400 probes know the traces to a few percent.
    assert found.trace == pytest.approx(np.trace(matrix), rel=0.1)
    rank = np.trace(matrix) ** 2 / np.sum(matrix**2)
    assert found.effective_rank == pytest.approx(rank, rel=0.2)


def test_lanczos_bounds_its_errors_and_stops_early():
    values = np.concatenate([np.linspace(0, 1, 200), [3.0, 5.0, 9.0]])
    few = spectrum(lambda v: values * v, 203, 3, 1, 0, steps=12)
    assert (np.abs(few.eigenvalues - [9, 5, 3]) <= few.residuals + 1e-12).all()
    rank_one = spectrum(lambda v: np.ones(50) * v.sum(), 50, 2, 1, 0)
    assert rank_one.eigenvalues[0] == pytest.approx(50)
    assert rank_one.residuals[0] < 1e-9


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="degree is -1"):
        taylor_expand(f, PARAMS, -1)
    with pytest.raises(ValueError, match="k is 0"):
        ntk_spectrum(f, PARAMS, X1, k=0)
    with pytest.raises(TypeError, match="one array"):
        ntk_spectrum(lambda p, x: (f(p, x),), PARAMS, X1)
