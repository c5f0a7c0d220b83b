"""Smooth activations by mixtures, any function by its Mehler series, and Hermite
coefficients."""

import warnings

import jax
import numpy as np
import pytest
import torch
from gaussian_pairs import kinked_expectation
from hypothesis import given, settings
from hypothesis import strategies as st
from split_pairs import split_expectation

import tangency as tg
from tangency.dual_activations.hermite import expand, tails
from tangency.dual_activations.quadrature import gauss, hermite, legendre

SMOOTH = [tg.Tanh(), tg.Sigmoid(), tg.Softplus(), tg.Silu(), tg.Mish()]
variances = st.floats(1e-3, 60)
correlations = st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0]))


def arrays(*values):
    return tuple(np.asarray(v, dtype=float) for v in values)


def with_half_slopes(f):
    """A random smooth function: two waves, a step and a quadratic."""
    a, b, c, d = f
    return lambda x: a * np.sin(b * x) + c * np.tanh(x - d) + a * d * x * x / 4


functions = st.tuples(*(st.floats(-1.5, 1.5) for _ in range(4))).map(with_half_slopes)


@settings(max_examples=25)
@given(variances, variances, correlations, st.sampled_from(SMOOTH))
def test_smooth_duals_equal_quadrature(p, q, rho, f):
    # The oracle is exact to rounding up to here.
    p, q = p / 15, q / 15
    c = rho * np.sqrt(p * q)
    k, k_dot = f.value_and_derivative(*arrays(p, q, c))
    scale = 1 + np.sqrt(p * q)
    assert abs(k - kinked_expectation(f, p, q, c)) < 2e-13 * scale
    assert abs(k_dot - kinked_expectation(f.slope, p, q, c)) < 2e-13


@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
@pytest.mark.parametrize(
    "p, q, rho", [(90.0, 40.0, 0.99), (40.0, 40.0, -1.0), (9e4, 1e-3, 1.0)]
)
def test_smooth_duals_equal_quadrature_at_large_norms(f, p, q, rho):
    c = rho * np.sqrt(p * q)
    k, k_dot = f.value_and_derivative(*arrays(p, q, c))
    # Kinks of f where it has none refine the quadrature there.
    side = np.geomspace(0.1, 60, 9)
    ends = (-3.0, 0.0, 3.0) if abs(rho) < 1 else (*side, *-side, 0.0)
    scale = 1 + np.sqrt(p * q)
    assert abs(k - split_expectation(f, p, q, c, ends)) < 1e-13 * scale
    assert abs(k_dot - split_expectation(f.slope, p, q, c, ends)) < 1e-13


@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
def test_slope_is_the_derivative(f):
    x = torch.linspace(-30, 30, 601, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(f(x).sum(), x)
    assert torch.max(torch.abs(f.slope(x) - expected)) < 1e-14


@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("norm", [1e3, 1e6])
def test_large_norms_have_their_limits(f, norm):
    p, q, c = arrays(norm**2, 4 * norm**2, norm**2)  # theta = pi / 3
    limits = {
        tg.Tanh: (tg.Sign().value(p, q, c), 0.0),
        tg.Sigmoid: (tg.Step().value(p, q, c), 0.0),
    }
    relu = (tg.Relu().value(p, q, c), tg.Relu().derivative(p, q, c))
    value, slope = limits.get(type(f), relu)
    k, k_dot = f.value_and_derivative(p, q, c)
    # The corrections are of relative order 1 / norm at most.
    assert abs(k / value - 1) < 10 / norm
    assert abs(k_dot - slope) < 10 / norm


EDGE_NORMS = np.asarray([0, 1e-12, 1e-4, 1.0, 50.0, 1e6, 1e12])
P, Q, RHO = (
    a.ravel() for a in np.meshgrid(EDGE_NORMS, EDGE_NORMS, [-1, -0.5, 0, 0.9, 1])
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
def test_smooth_duals_are_exact_at_the_edges_on_every_backend(f, dtype, xp64):
    edges = [a.astype(dtype) for a in (P, Q, RHO * np.sqrt(P) * np.sqrt(Q))]
    exact = f.value_and_derivative(*(a.astype(np.float64) for a in edges))
    scale = 1 + np.sqrt(f.variance(P) * f.variance(Q))
    found = f.value_and_derivative(*(xp64.asarray(a) for a in edges))
    for k, expected in zip(found, exact, strict=True):
        assert k.dtype == getattr(xp64, dtype)
        error = np.abs(np.asarray(k, dtype=np.float64) - expected) / scale
        assert np.max(error) < 10 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
def test_gradients_of_smooth_duals_are_finite_and_agree(f, dtype):
    edges = [a.astype(dtype) for a in (P, Q, RHO * np.sqrt(P) * np.sqrt(Q))]
    tensors = [torch.tensor(a, requires_grad=True) for a in edges]
    k, k_dot = f.value_and_derivative(*tensors)
    by_torch = torch.autograd.grad(k.sum() + k_dot.sum(), tensors)
    with jax.enable_x64(dtype == "float64"):
        args = [jax.numpy.asarray(a) for a in edges]

        @jax.jit
        def gradient(*args):
            total = lambda *a: sum(k.sum() for k in f.value_and_derivative(*a))  # noqa: E731
            return jax.grad(total, argnums=(0, 1, 2))(*args)

        by_jax = gradient(*args)
    for a, b in zip(by_torch, by_jax, strict=True):
        a, b = a.numpy(), np.asarray(b)
        assert np.all(np.isfinite(a)) and np.all(np.isfinite(b))
        if dtype == "float64":
            # At the norms 1e-6 of zero and beyond, gradients of 1e5 cancel.
            assert np.all(np.abs(a - b) < 1e-10 * (1 + np.abs(a)))


@settings(max_examples=10)
@given(variances, variances, st.floats(-0.98, 0.98), st.sampled_from(SMOOTH))
def test_gradients_equal_finite_differences(p, q, rho, f):
    point = np.asarray([p, q, rho * np.sqrt(p * q)])
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in point]
    found = torch.autograd.grad(f.value(*tensors), tensors)
    for i, g in enumerate(found):
        h = 1e-4 * min(p, q) * (1 - abs(rho))
        shift = h * np.eye(3)[i]
        above, below = (f.value(*arrays(*(point + d))) for d in (shift, -shift))
        assert abs(g - (above - below) / (2 * h)) < 1e-14 * (1 + p + q) / h + 1e-6
    # Price's theorem: the derivative by c is the dual of f'.
    assert abs(found[2] - f.derivative(*arrays(*point))) < 1e-11


def test_smooth_kernels_work_under_vmap_and_in_matrices():
    x = np.random.default_rng(0).normal(size=(6, 4))
    gram, p = x @ x.T, np.sum(x**2, axis=1)
    k = tg.Silu().value(p[:, None], p[None], gram)
    assert np.min(np.linalg.eigvalsh(k)) > -1e-14
    with jax.enable_x64(True):
        rows = jax.vmap(tg.Silu().value, in_axes=(0, None, 0))(
            *map(jax.numpy.asarray, (p, p, gram))
        )
    assert np.max(np.abs(np.asarray(rows) - k)) < 1e-14
    rows = torch.func.vmap(tg.Silu().value, in_dims=(0, None, 0))(
        *map(torch.asarray, (p, p, gram))
    )
    assert np.max(np.abs(rows.numpy() - k)) < 1e-14


@settings(max_examples=25)
@given(functions, variances, variances, correlations)
def test_the_certificate_bounds_the_error(fn, p, q, rho):
    p, q = p / 6, q / 6
    c = rho * np.sqrt(p * q)
    exact = kinked_expectation(fn, p, q, c)
    left, right = (expand(fn, np.sqrt(np.asarray([v])), 60, ()) for v in (p, q))
    scale = np.sqrt(left.square[0] * right.square[0])
    bounds = np.maximum(tails(left), tails(right))
    terms = left.coefficients[0] * right.coefficients[0] * rho ** np.arange(61)
    errors = np.abs(np.cumsum(terms) - exact)
    # The oracle itself is known to 1e-13.
    assert np.all(errors <= bounds * scale + 1e-13 * (1 + scale))


@settings(max_examples=20)
@given(functions, variances, variances, correlations, st.sampled_from([1e-3, 1e-8]))
def test_elementwise_keeps_its_promise_or_refuses(fn, p, q, rho, tol):
    p, q = p / 6, q / 6
    c = rho * np.sqrt(p * q)
    f = tg.Elementwise(fn, tol=tol)
    try:
        k = f.value(*arrays(p, q, c))
    except ValueError as error:
        assert "is certified to" in str(error)
        return
    scale = np.sqrt(f.variance(*arrays(p)) * f.variance(*arrays(q)))
    assert abs(k - kinked_expectation(fn, p, q, c)) <= tol * scale + 1e-13


@pytest.mark.parametrize("f", SMOOTH, ids=lambda f: type(f).__name__)
def test_elementwise_equals_the_mixture(f):
    args = arrays([0.0, 0.5, 1.0, 2.0], [1.0, 0.5, 2.0, 0.1], [0.0, 0.5, -1.2, 0.3])
    series = tg.Elementwise(f, degree=300, tol=1e-9).value_and_derivative(*args)
    for found, expected in zip(series, f.value_and_derivative(*args), strict=True):
        assert np.max(np.abs(found - expected)) < 3e-9


def test_elementwise_finds_derivatives_by_itself():
    args = arrays([0.0, 0.5, 1.0], [1.0, 0.5, 2.0], [0.0, 0.5, -1.2])
    expected = tg.Gelu().derivative(*args)
    gelu = tg.Elementwise(tg.Gelu(), tol=1e-9)
    assert np.max(np.abs(gelu.derivative(*args) - expected)) < 2e-9
    by_torch = gelu.derivative(*map(torch.asarray, args))
    assert np.max(np.abs(by_torch.numpy() - expected)) < 2e-9
    with jax.enable_x64(True):
        by_jax = gelu.derivative(*map(jax.numpy.asarray, args))
        assert np.max(np.abs(np.asarray(by_jax) - expected)) < 2e-9
    given = tg.Elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
    tanh = tg.Tanh().derivative(*args)
    assert np.max(np.abs(given.derivative(*args) - tanh)) < 1e-6


def test_elementwise_splits_at_kinks():
    args = arrays([1.0, 2.0], [1.0, 0.5], [1.0, -0.9])
    f = tg.PiecewiseLinear((-0.7, 0.5), (1.0, -2.0), 0.3)
    series = tg.Elementwise(f, degree=400, tol=1e-4)
    assert series.kinks == (-0.7, 0.5)
    assert np.max(np.abs(series.value(*args) - f.value(*args))) < 1e-4
    loose = tg.Elementwise(f, degree=400, tol=0.05)
    assert np.max(np.abs(loose.derivative(*args) - f.derivative(*args))) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_works_on_every_backend(dtype, xp64):
    p, q = np.asarray([[0.0], [1.0], [4.0]]), np.asarray([[1.0, 1e-12]])
    c = np.sqrt(p * q) * np.asarray([[0.0, 1.0], [1.0, -1.0], [-0.3, 0.0]])
    expected = tg.Sigmoid().value_and_derivative(p, q, c)
    f = tg.Elementwise(lambda x: 1 / (1 + xp64.exp(-x)), degree=48, tol=1e-5)
    args = [xp64.asarray(a, dtype=getattr(xp64, dtype)) for a in (p, q, c)]
    run = f.value_and_derivative
    run = jax.jit(run) if xp64 is jax.numpy else run
    for k, exact in zip(run(*args), expected, strict=True):
        assert k.dtype == getattr(xp64, dtype) and k.shape == (3, 2)
        assert np.max(np.abs(np.asarray(k) - exact)) < 1e-5
    assert f.variance(args[0]).dtype == getattr(xp64, dtype)


def test_elementwise_under_jit_warns_where_it_would_refuse():
    p, q, c = arrays(1.0, 0.8, 0.5)
    f = tg.Elementwise(jax.numpy.tanh, degree=20, tol=1e-3)
    run = jax.jit(lambda s: f.value(s * p, s * q, s * c))
    with jax.enable_x64(True):
        assert abs(run(1.0) - tg.Tanh().value(p, q, c)) < 1e-3
        jax.effects_barrier()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run(1e4)
            jax.effects_barrier()
        assert [w.category for w in caught] == [tg.SeriesWarning]
        gradient = jax.jit(jax.grad(lambda s: f.value(s * p, s * q, s * c)))(1.0)
        rows = jax.vmap(f.value)(*(jax.numpy.ones(3) * a for a in (p, q, c)))
    h = 1e-5
    above, below = (tg.Tanh().value(s * p, s * q, s * c) for s in (1 + h, 1 - h))
    assert abs(gradient - (above - below) / (2 * h)) < 1e-3
    assert np.max(np.abs(np.asarray(rows) - tg.Tanh().value(p, q, c))) < 1e-3


def test_elementwise_gradients_are_finite_at_zero_rows_and_at_one():
    # ElementwiseNumerical of neural-tangents is NaN on zero rows.
    p = np.asarray([0.0, 0.0, 1e-12, 1.0, 2.0, 2.0])
    q = np.asarray([0.0, 1.0, 1e-12, 1.0, 2.0, 1.0])
    c = np.asarray([0.0, 0.0, 1e-12, 1.0, -2.0, 2**0.5])
    tensors = [torch.tensor(a, requires_grad=True) for a in (p, q, c)]
    f = tg.Elementwise(torch.tanh, tol=1e-8)
    for k in f.value_and_derivative(*tensors):
        assert torch.isfinite(k).all()
        for g in torch.autograd.grad(k.sum(), tensors, retain_graph=True):
            assert torch.isfinite(g).all()
    k, k_dot = tg.Elementwise(np.tanh).value_and_derivative(p, q, c)
    assert k[0] == k[1] == 0 and abs(k_dot[0] - 1) < 1e-9
    assert abs(k_dot[1] - tg.Tanh().derivative(p, q, c)[1]) < 1e-6


def test_the_series_converges_at_norm_3_where_the_unit_norm_series_diverges():
    degree, s = 24, 3.0
    x, w = hermite(400)
    basis = np.polynomial.hermite_e.hermevander(x, degree)
    norms = np.sqrt(np.cumprod([1.0, *np.arange(1, degree + 1)]))
    fit = (w * np.maximum(x, 0)) @ basis / norms**2  # the expansion at unit norm
    k = tg.Relu().value(*arrays(s**2, s**2, s**2))
    unit = w @ np.polynomial.hermite_e.hermeval(s * x, fit) ** 2
    assert unit > 1e6 * k
    own = tg.hermite_coefficients(tg.Relu(), np.asarray([s]), degree)[0]
    assert abs(np.sum(own**2) / k - 1) < 2e-3


@pytest.mark.parametrize(
    "f", [tg.Gelu(), tg.Erf(), tg.Elu(0.5), tg.Step(), tg.Exp(1.0, 0.3), tg.Relu6()]
)
def test_hermite_coefficients_sum_to_the_dual(f):
    s = np.asarray([0.0, 0.7, 1.5])
    c = tg.hermite_coefficients(f, s, 60)
    assert c.shape == (3, 61)
    rho = 0.6
    k = f.value(s[:, None] ** 2, s[None] ** 2, rho * s[:, None] * s[None])
    series = (c * rho ** np.arange(61)) @ c.T
    off = np.ones((3, 3), dtype=bool)
    off[0], off[:, 0] = False, False  # closed forms have k(0, .) by convention
    assert np.max(np.abs(series - k)[off]) < 1e-12


def test_hermite_coefficients_have_the_shape_of_s_and_gradients():
    s = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    c = tg.hermite_coefficients(tg.Relu6(), s, 7)
    assert c.shape == (1, 2, 8)
    (g,) = torch.autograd.grad(c[..., 1].sum(), s)
    # d/ds E[f(s g) g] = E[f'(s g) g^2]; Relu6 has a kink at s = 0.
    x, w = legendre(400)
    z, weight = 6 * x, 6 * w * np.exp(-((6 * x) ** 2) / 2) / np.sqrt(2 * np.pi)
    assert abs(g[0, 1] - np.sum(weight * z**2)) < 1e-8
    assert torch.isfinite(g).all()


def test_gauss_rules_are_exact():
    x = np.linspace(-1, 2, 50)
    w = 1 + x**2
    nodes, weights = gauss(x, w, 6)
    for power in range(12):
        expected = np.sum(w * x**power)
        assert abs(np.sum(weights * nodes**power) / expected - 1) < 1e-12
    x, w = hermite(600)
    assert np.all(np.isfinite(x)) and abs(np.sum(w * x**6) - 15) < 1e-10


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: tg.Elementwise(3), TypeError, "fn is 3, expected a function"),
        (lambda: tg.Elementwise(np.tanh, tol=0.0), ValueError, "tol is 0.0"),
        (lambda: tg.Elementwise(np.tanh, degree=-1), ValueError, "degree is -1"),
        (
            lambda: tg.Elementwise(np.tanh).value(*arrays(1e4, 1e4, 5e3)),
            ValueError,
            r"at norms up to 100 the series of tanh is certified to .*, expected tol=",
        ),
        (
            lambda: tg.Elementwise(lambda x: np.sin(99 * x)).variance(*arrays([9.0])),
            ValueError,
            "at norms up to 3 the series of <lambda> is certified to",
        ),
        (
            lambda: tg.Elementwise(torch.relu).value(*arrays(1, 1, 1)),
            TypeError,
            "relu fails on a numpy array .*write it for the array library",
        ),
        (
            lambda: tg.Elementwise(lambda x: 1.0).value(*arrays(1, 1, 1)),
            TypeError,
            "expected the same library and shape",
        ),
    ],
)
def test_bad_input_is_explained(make, error, message):
    with pytest.raises(error, match=message):
        make()
