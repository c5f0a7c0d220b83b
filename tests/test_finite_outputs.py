"""Axes, projections, memory, trees, subsets and errors of ``EmpiricalKernel``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tangency.kernels.finite import EmpiricalKernel, Projection
from tangency.kernels.finite.blocks import Blocks, fit
from tangency.kernels.finite.outputs import split_rows

jax = pytest.importorskip("jax")
jnp = jax.numpy

RNG = np.random.default_rng(0)
PARAMS = [RNG.standard_normal(s) for s in ((6, 8), (8,), (8, 12))]
X1, X2 = RNG.standard_normal((5, 6)), RNG.standard_normal((4, 6))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def f(p, x):
    return (jnp.tanh(x @ p[0] + p[1]) @ p[2]).reshape(-1, 3, 4)


def rows(x):
    """Reference: the Jacobian written out, ``[n, 3, 4, P]``."""
    h = np.tanh(x @ PARAMS[0] + PARAMS[1])
    out = np.zeros((len(x), 12, 6 * 8 + 8 + 8 * 12))
    for o in range(12):
        back = PARAMS[2][:, o] * (1 - h**2)
        out[:, o, :48] = np.einsum("ni,nj->nij", x, back).reshape(len(x), -1)
        out[:, o, 48:56] = back
        out[:, o, 56:].reshape(len(x), 8, 12)[:, :, o] = h
    return out.reshape(len(x), 3, 4, -1)


FULL = np.einsum("nabP,mcdP->nmacbd", rows(X1), rows(X2))
OWN = np.einsum("nabP,mcdP->nmacbd", rows(X1), rows(X1))
AXES = {
    "full": (dict(trace_axes=()), "nmacbd->nmacbd", 1),
    "last traced": ({}, "nmacbb->nmac", 4),
    "all traced": (dict(trace_axes=(1, 2)), "nmaabb->nm", 12),
    "diagonal": (dict(trace_axes=(), diagonal_axes=1), "nmaabd->nmabd", 1),
    "both": (dict(trace_axes=-1, diagonal_axes=(1,)), "nmaabb->nma", 4),
    "outputs full": (dict(outputs="full"), "nmacbd->nmacbd", 1),
    "outputs trace": (dict(outputs="trace"), "nmaabb->nm", 12),
    "outputs diagonal": (dict(outputs="diagonal"), "nmaabb->nmab", 1),
    "pseudo": (dict(outputs="pseudo"), "nmacbd->nm", 12),
    "samples interact": (dict(vmap_axes=None, trace_axes=()), "nmacbd->nmacbd", 1),
    "traced interact": (dict(vmap_axes=None), "nmacbb->nmac", 4),
}
OWN_AXES = {
    "paired": (dict(trace_axes=(1,), diagonal_axes=(0,)), "nnaabd->nbd", 3),
    "paired pseudo": (dict(outputs="pseudo", diagonal_axes=0), "nnacbd->n", 12),
    "averaged": (dict(trace_axes=(0, 1, 2)), "nnaabb->", 60),
    "symmetric": ({}, "nmacbb->nmac", 4),
}


@pytest.mark.parametrize(
    "name, memory",
    [(name, 2**31) for name in AXES]
    + [(name, 30_000) for name in ("full", "last traced", "both", "pseudo")],
)
def test_axes_mean_what_they_say(name, memory):
    options, formula, size = AXES[name]
    kernel = EmpiricalKernel(f, PARAMS, "structured", memory=memory, **options)
    if memory < 2**31:
        assert kernel.explain(X1, X2).blocks != Blocks(5, 4, 12, 12, 12)
    want = np.einsum(formula, FULL) / size
    np.testing.assert_allclose(kernel(X1, X2), want, atol=1e-12)


@pytest.mark.parametrize("name", OWN_AXES)
def test_axes_of_a_symmetric_kernel(name):
    options, formula, size = OWN_AXES[name]
    kernel = EmpiricalKernel(f, PARAMS, "structured", **options)
    want = np.einsum(formula, OWN) / size
    np.testing.assert_allclose(kernel(X1), want, atol=1e-12)


@pytest.mark.parametrize("method", ["jacobian", "ntk_vp"])
@pytest.mark.parametrize("name", ["both", "paired", "pseudo"])
def test_other_methods_know_the_axes(method, name):
    options, formula, size = {**AXES, **OWN_AXES}[name]
    kernel = EmpiricalKernel(f, PARAMS, method, **options)
    own = name in OWN_AXES
    want = np.einsum(formula, OWN if own else FULL) / size
    got = kernel(X1) if own else kernel(X1, X2)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("method", ["structured", "jacobian", "ntk_vp"])
def test_a_small_memory_gives_the_same_kernel(method):
    kernel = EmpiricalKernel(f, PARAMS, method, (), memory=8_000)
    np.testing.assert_allclose(kernel(X1, X2), FULL, atol=1e-12)
    np.testing.assert_allclose(kernel(X1), OWN, atol=1e-12)
    blocks = kernel.explain(X1, X2).blocks
    assert blocks.n < 5 and kernel.explain(X1, X2).bytes <= 8_000


def test_nngp_has_the_same_axes():
    out1, out2 = np.asarray(f(PARAMS, X1)), np.asarray(f(PARAMS, X2))
    both = np.einsum("nab,mcd->nmacbd", out1, out2)
    got = EmpiricalKernel(f, PARAMS)(X1, X2, ("nngp", "ntk"))
    np.testing.assert_allclose(got.nngp, np.einsum("nmacbb->nmac", both) / 4)
    np.testing.assert_allclose(got.ntk, np.einsum("nmacbb->nmac", FULL) / 4, atol=1e-12)


def test_projections_estimate_the_trace_without_bias():
    want = np.einsum("nmaabb->nm", FULL) / 12
    few = EmpiricalKernel(f, PARAMS, outputs=Projection(3, seed=1))(X1, X2)
    signs = Projection(3, seed=1).rows(12)
    flat = np.moveaxis(FULL, 4, 3).reshape(5, 4, 12, 12)
    exact = np.einsum("ro,nmop,rp->nm", signs, flat, signs) / 3
    np.testing.assert_allclose(few, exact, atol=1e-12)
    # Mean of 4000 estimates: within 5 standard errors of the trace.
    signs = np.stack([Projection(1, seed=s).rows(12)[0] for s in range(4000)])
    each = np.einsum("ro,nmop,rp->rnm", signs, flat, signs)
    error = each.std(0) / 4000**0.5
    assert (np.abs(each.mean(0) - want) < 5 * error).all()


def test_trees_of_outputs_give_trees_of_kernels():
    g = lambda p, x: {"a": x @ p[0], "b": (f(p, x),)}  # noqa: E731
    kernel = EmpiricalKernel(g, PARAMS, trace_axes=())(X1, X2)
    np.testing.assert_allclose(kernel["b"][0], FULL, atol=1e-12)
    want = np.einsum("nm,op->nmop", X1 @ X2.T, np.eye(8))
    np.testing.assert_allclose(kernel["a"], want, atol=1e-12)


def test_inputs_that_samples_share_and_other_batch_axes():
    shared = RNG.standard_normal((6, 6))
    g = lambda p, x: (f(p, x["x"].T @ x["A"])).transpose(1, 0, 2)  # noqa: E731
    kernel = EmpiricalKernel(g, PARAMS, vmap_axes=({"A": None, "x": 1}, 1))
    got = kernel({"A": shared, "x": X1.T}, {"A": shared, "x": X2.T})
    plain = EmpiricalKernel(f, PARAMS)(X1 @ shared, X2 @ shared)
    want = np.transpose(plain, (2, 3, 0, 1))
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("select", [["1"], "1", lambda name: name == "1"])
def test_subsets_of_the_parameters(select):
    got = EmpiricalKernel(f, PARAMS, trace_axes=(), select=select)(X1, X2)
    bias = (r[..., 48:56] for r in (rows(X1), rows(X2)))
    np.testing.assert_allclose(got, np.einsum("nabP,mcdP->nmacbd", *bias), atol=1e-12)


def test_it_works_inside_jit_and_can_be_differentiated():
    def loss(scale):
        params = [PARAMS[0] * scale, *map(jnp.asarray, PARAMS[1:])]
        return EmpiricalKernel(f, params, "structured")(X1, X2).sum()

    value, slope = jax.jit(jax.value_and_grad(loss))(1.0)
    np.testing.assert_allclose(value, np.einsum("nmacbb->", FULL) / 4)
    ahead, behind = loss(1 + 1e-5), loss(1 - 1e-5)
    # A central difference is right to the square of its step.
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-7)


def test_inputs_may_be_constants_of_a_jitted_function():
    kernel = EmpiricalKernel(f, PARAMS)
    want = np.einsum("nmacbb->nmac", FULL) / 4
    for x1, x2 in ((X1, X2), (jnp.asarray(X1), jnp.asarray(X2))):
        got = jax.jit(lambda shift, a=x1, b=x2: kernel(a, b) + shift)(1.0)
        np.testing.assert_allclose(got, want + 1, atol=1e-12)
    # What was planned in a trace serves after it.
    np.testing.assert_allclose(kernel(X1, X2), want, atol=1e-12)


def test_a_function_may_close_over_what_is_traced():
    def scaled(scale):
        return EmpiricalKernel(lambda p, x: scale * f(p, x), PARAMS)(X1, X2)

    want = np.einsum("nmacbb->nmac", FULL) * (9 / 4)
    np.testing.assert_allclose(jax.jit(scaled)(3.0), want, atol=1e-12)


def test_samples_that_interact_are_found_as_soon_as_they_have_values():
    kernel = EmpiricalKernel(lambda p, x: f(p, x - x.mean(0)), PARAMS)
    jax.jit(kernel)(X1)
    with pytest.raises(ValueError, match="samples interact"):
        kernel(X1)
    with pytest.raises(ValueError, match="samples interact"):
        jax.jit(lambda shift: kernel(X1) + shift)(1.0)


def test_float32_stays_float32():
    with jax.enable_x64(False):
        params = [jnp.asarray(p, jnp.float32) for p in PARAMS]
        x = jnp.asarray(X1, jnp.float32)
        kernel = EmpiricalKernel(f, params)(x, get=("nngp", "ntk"))
    assert kernel.nngp.dtype == kernel.ntk.dtype == jnp.float32
    want = np.einsum("nmacbb->nmac", OWN) / 4
    np.testing.assert_allclose(kernel.ntk, want, rtol=1e-5, atol=1e-5)


def test_auto_takes_vector_products_where_outputs_outnumber_units():
    linear = lambda p, x: x @ p  # noqa: E731
    few = EmpiricalKernel(linear, jnp.ones((4, 300)), trace_axes=())
    many = EmpiricalKernel(linear, jnp.ones((300, 4)), trace_axes=())
    assert few.explain(jnp.ones((1, 4))).method == "ntk_vp"
    assert many.explain(jnp.ones((64, 300))).method == "structured"
    np.testing.assert_allclose(few(jnp.ones((1, 4)))[0, 0], 4 * np.eye(300))


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: EmpiricalKernel(3, PARAMS), TypeError, "expected a function"),
        (lambda: EmpiricalKernel(f), TypeError, "params is missing"),
        (lambda: EmpiricalKernel(f, PARAMS, "fast"), ValueError, "expected one of"),
        (lambda: EmpiricalKernel(f, PARAMS, outputs="all"), ValueError, "'pseudo'"),
        (lambda: EmpiricalKernel(f, PARAMS, memory=0), ValueError, "bytes"),
        (lambda: Projection(0), ValueError, "int >= 1"),
    ],
)
def test_wrong_arguments_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()(X1)


def batch_norm(p, x):
    h = x @ p[0]
    return (h - h.mean(0)) / h.std(0)


@pytest.mark.parametrize(
    "function, params, options, error, match",
    [
        (batch_norm, PARAMS, {}, ValueError, "samples interact.*vmap_axes=None"),
        (
            lambda p, x: jnp.argmax(f(p, x), -1),
            PARAMS,
            {},
            TypeError,
            "int64 output.*logits",
        ),
        (lambda p, x: f(p, x) + 0j, PARAMS, {}, TypeError, "complex output"),
        (f, [*PARAMS[:2], np.ones((8, 12), int)], {}, TypeError, "parameter 2.*select"),
        (f, [*PARAMS, "relu"], {}, TypeError, "parameter 3 is a str"),
        (f, PARAMS, dict(trace_axes=(3,)), ValueError, "trace_axes has 3"),
        (
            f,
            PARAMS,
            dict(trace_axes=1, diagonal_axes=-2),
            ValueError,
            "in trace_axes and",
        ),
        (f, PARAMS, dict(memory=100), ValueError, "memory is 100 bytes"),
        (f, PARAMS, dict(select=["4"]), ValueError, "not parameters"),
        (f, PARAMS, dict(select=lambda n: False), ValueError, "no parameter"),
        (lambda p, x: f(p, x).sum(0), PARAMS, {}, ValueError, "the batch axis"),
    ],
)
def test_functions_that_have_no_ntk_are_refused(
    function, params, options, error, match
):
    with pytest.raises(error, match=match):
        EmpiricalKernel(function, params, **options)(X1)


def test_inputs_that_do_not_match_are_refused():
    kernel = EmpiricalKernel(f, PARAMS)
    with pytest.raises(ValueError, match=r"samples of shape \(5,\), expected \(6,\)"):
        kernel(X1, X2[:, :5])
    with pytest.raises(TypeError, match="x2 has dtype float32"):
        kernel(X1, X2.astype("float32"))
    with pytest.raises(ValueError, match="x2 is a tree"):
        kernel(X1, (X2,))
    with pytest.raises(ValueError, match="get is 'cntk'"):
        kernel(X1, get="cntk")


def test_batch_norm_is_right_when_samples_may_interact():
    got = EmpiricalKernel(batch_norm, PARAMS, vmap_axes=None, select="0")(X1)
    j = jax.jacrev(batch_norm)([jnp.asarray(p) for p in PARAMS], X1)[0]
    want = np.einsum("noij,moij->nm", j, j) / 8
    np.testing.assert_allclose(got, want, atol=1e-12)


@given(
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sets(st.integers(0, 2)),
    st.sets(st.integers(0, 2)),
    st.integers(0, 2),
)
@settings(max_examples=100)
def test_rows_and_assembly_are_inverse(shape, trace, diagonal, batch):
    diagonal -= trace
    split = split_rows(shape, shape, batch, tuple(trace), tuple(diagonal), None)
    j = np.random.default_rng(0).standard_normal((*shape, 2))
    u, d, f, _ = split.sizes
    samples = np.moveaxis(j, batch, 0)
    flat = samples.reshape(len(samples), -1, 2)
    rows = np.einsum("ro,nop->nrp", split.basis(shape), flat)
    rows = rows.reshape(len(samples), u, d, f, 2)
    out = "dnfe" if split.paired else "dnfme"
    other = "nudep" if split.paired else "mudep"
    kernel = np.einsum(f"nudfp,{other}->{out}", rows, rows) / split.divisor
    left, right, kept = list("abc"), list("xyz"), []
    for axis in range(3):
        if axis in trace or axis in diagonal:
            right[axis] = left[axis]
        if axis not in trace:
            kept += [left[axis]] if axis in diagonal else [left[axis], right[axis]]
    formula = f"{''.join(left)}p,{''.join(right)}p->{''.join(kept)}"
    means = np.prod([shape[a] for a in trace])
    want = np.einsum(formula, j, j) / means
    np.testing.assert_allclose(split.assemble(kernel), want, atol=1e-12)


def test_blocks_shrink_samples_first_and_then_rows():
    whole = Blocks(8, 8, 4, 4, 4)
    needed = lambda b: b.n * b.m * b.u * b.f * b.e  # noqa: E731
    assert fit(whole, 10**6, needed, False) == whole
    assert fit(whole, 64 * 16, needed, False) == Blocks(4, 4, 4, 4, 4)
    assert fit(whole, 4, needed, False).n == 1
    with pytest.raises(ValueError, match="raise memory"):
        fit(whole, 0, needed, False)
