"""The empirical NTK of JAX functions: every method against the Jacobian itself."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tangency.kernels.finite import EmpiricalKernel

jax = pytest.importorskip("jax")
jnp = jax.numpy
from finite_architectures import FUNCTIONS  # noqa: E402

# Compiling takes most of the time: large functions, and most functions for methods that
# treat all alike, run with the slow tests.
LARGE = ("transformer", "convolutions", "recurrent", "reversed_scan_with_outputs")
SMALL = (
    "mlp",
    "scaled_weights",
    "tied_transposed_weights",
    "scan_over_layers",
    "product_read_twice",
    "several_output_axes",
    "grouped_and_transposed",
    "embedding",
    "tree_of_inputs",
)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def case(name, seed=0):
    rng = np.random.default_rng(seed)
    return FUNCTIONS[name](lambda *s: jnp.asarray(rng.standard_normal(s)))


def jacobian(f, params, x):
    """Reference: reverse-mode rows of all parameters, ``[n, *outputs, P]``."""
    leaves, tree = jax.tree.flatten(params)
    sizes = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def flat(v, x):
        parts = jnp.split(v, sizes)
        shaped = [p.reshape(a.shape) for p, a in zip(parts, leaves, strict=True)]
        return f(jax.tree.unflatten(tree, shaped), x)

    v = jnp.concatenate([leaf.reshape(-1) for leaf in leaves])
    return np.asarray(jax.jit(jax.jacrev(flat))(v, x))


def reference(f, params, x1, x2):
    """The full NTK, output axes flattened: ``[n, m, o, p]``."""
    # One program for both.
    x = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), x1, x2)
    j, n = jacobian(f, params, x), len(jax.tree.leaves(x1)[0])
    j = j.reshape(len(j), -1, j.shape[-1])
    return np.einsum("nof,mpf->nmop", j[:n], j[n:])


@cache
def reference_of(name):
    """That of a case, which every method is compared with."""
    return reference(*case(name))


def full(kernel, x1, x2):
    """The full NTK of a kernel, interleaved axes brought to ``[n, m, o, p]``."""
    k = np.asarray(kernel(x1, x2))
    axes = range(2, k.ndim, 2)
    k = np.transpose(k, (0, 1, *axes, *(a + 1 for a in axes)))
    outputs = int(np.prod(k.shape[2 : 2 + len(axes)]))
    return k.reshape(*k.shape[:2], outputs, -1)


def assert_close(got, want, tolerance=1e-12):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def tolerance_of(name):
    """Weights cast to float32 have Jacobians rounded to float32."""
    return 1e-6 if name == "cast_weights" else 1e-12


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
        for name in FUNCTIONS
    ],
)
def test_structured_derivatives_equal_the_jacobian(name):
    f, params, x1, x2 = case(name)
    kernel = EmpiricalKernel(f, params, "structured", trace_axes=())
    want = reference_of(name)
    assert_close(full(kernel, x1, x2), want, tolerance_of(name))


@pytest.mark.parametrize("method", ["jacobian", "ntk_vp"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in SMALL else pytest.mark.slow)
        for name in FUNCTIONS
    ],
)
def test_other_methods_equal_the_jacobian(name, method):
    f, params, x1, x2 = case(name)
    kernel = EmpiricalKernel(f, params, method, trace_axes=())
    if (name, method) == ("custom_vjp_activation", "ntk_vp"):
        with pytest.raises(TypeError, match="custom_vjp"):
            kernel(x1, x2)
        return
    want = reference_of(name)
    assert_close(full(kernel, x1, x2), want, tolerance_of(name))


PATHS = {
    "mlp": {"0/0 + 0/1": "product", "2/0 + 2/1": "product"},
    "scaled_weights": {"0": "product", "1 + 2": "product"},
    "transposed_weights": {"0": "product"},
    "rematerialised": {"0/0 + 0/1": "product"},
    "cast_weights": {"0": "product"},
    "tied_weights": {"0": "product", "1": "product"},
    "tied_transposed_weights": {"0": "jacobian"},
    "tied_bias": {"0": "product", "2": "jacobian"},
    "flipped_and_sliced_weights": {"0": "jacobian"},
    "scan_over_layers": {"0": "product", "1": "product"},
    "custom_vjp_activation": {"0 + 1": "product", "2": "product"},
    "weight_normalised": {"0": "jacobian"},
    "stacked_weights": {"0": "product", "1": "product"},
    "convolutions": {"0/0 + 0/1": "convolution", "2": "product"},
    "grouped_and_transposed": {"0 + 1": "convolution", "2": "convolution"},
    "clipped_embedding": {"0": "table"},
    "recurrent": {"0": "product", "1": "product", "2": "jacobian"},
}


@pytest.mark.parametrize("name", PATHS)
def test_explain_names_the_path_of_every_parameter(name):
    f, params, x1, x2 = case(name)
    kernel = EmpiricalKernel(f, params, "structured")
    explanation = kernel.explain(x1, x2)
    found = {p.name: p.how for p in explanation.parameters}
    assert PATHS[name].items() <= found.items()
    assert all(p.name in str(explanation) for p in explanation.parameters)
    for p in explanation.parameters:
        assert (p.how == "jacobian") == bool(p.reason)


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 4),
    st.floats(0.2, 2.0),
)
@settings(max_examples=20)
def test_random_networks_agree(widths, tokens, scale):
    rng = np.random.default_rng(7)
    normal = lambda *s: jnp.asarray(rng.standard_normal(s))  # noqa: E731
    widths = [3, *widths, 2]
    params = [
        (normal(a, b), normal(b)) for a, b in zip(widths, widths[1:], strict=False)
    ]

    def f(p, x):
        for w, b in p:
            x = jnp.tanh(scale * (x @ w) + b)
        return x.mean(1)

    x1, x2 = normal(3, tokens, 3), normal(2, tokens, 3)
    kernel = EmpiricalKernel(f, params, "structured", trace_axes=())
    assert_close(full(kernel, x1, x2), reference(f, params, x1, x2))
