"""The compiled engine of fully connected networks against a recursion in float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tangency as tg
from tangency.kernels.planes import cpu_dense
from tangency.kernels.planes.cpu_dense import kernel
from tangency.kernels.planes.cpu_dense_back import vjp
from tangency.kernels.planes.cpu_matmul import PANEL, add_product, packed
from tangency.kernels.planes.dense_plan import Plan
from tangency.kernels.planes.lowering import lower
from tangency.kernels.planes.program import (
    Activate,
    Add,
    Affine,
    Normalize,
    Program,
    Push,
    Stage,
    Swap,
)

torch = pytest.importorskip("torch")


def program_of(channels, *head):
    return Program(channels, (Stage((1, 1), (), None),), "flatten", head)


def reference(program, x1, x2):
    """NNGP and NTK by the definition of every operation, on float64 torch tensors."""
    other = x1 if x2 is None else x2
    k = x1 @ other.T / program.channels
    p, q = ((x * x).sum(1, keepdim=True) / program.channels for x in (x1, other))
    q = q.T
    if x2 is None:
        # A row has the same covariance and variance with itself, to the last bit.
        own = torch.eye(len(x1), dtype=torch.bool)
        k = torch.where(own, (p + q) / 2, k)
    value, stack = (k, torch.zeros_like(k), p, q), []
    for op in program.head:
        k, t, p, q = value
        if isinstance(op, Push):
            stack.append(value)
        elif isinstance(op, Swap):
            stack[-1], value = value, stack[-1]
        elif isinstance(op, Add):
            value = tuple(a + b for a, b in zip(value, stack.pop(), strict=True))
        elif isinstance(op, Affine):
            t = op.w * t + op.u * k + op.v
            value = (op.w * k + op.b, t, op.w * p + op.b, op.w * q + op.b)
        elif isinstance(op, Normalize):
            r = ((p + op.eps) * (q + op.eps)) ** -0.5
            value = (k * r, t * r, p / (p + op.eps), q / (q + op.eps))
        else:
            f = op.activation
            new, slope = f.value_and_derivative(p, q, k)
            value = (new, t * slope, f.variance(p), f.variance(q))
    return value[:2]


def both(program, x1, x2, bars, dtype):
    """(kernels and gradients of the engine, those of the reference)."""
    arrays = [x.astype(dtype) for x in (x1, x2) if x is not None]
    pair = (*arrays, None)[:2]
    got = [*kernel(program, *pair)]
    got += [g for g in vjp(program, *pair, *bars.astype(dtype)) if g is not None]
    xs = [torch.tensor(x.astype(np.float64), requires_grad=True) for x in arrays]
    kernels = reference(program, *(*xs, None)[:2])
    loss = sum((k * torch.tensor(b)).sum() for k, b in zip(kernels, bars, strict=True))
    loss.backward()
    want = [k.detach().numpy() for k in kernels] + [x.grad.numpy() for x in xs]
    assert all(a.dtype == dtype for a in got)
    return got, want


def assert_close(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * abs(b).max() + 1e-300)


# Two families; others are in a test below, each costs seconds to compile.
SOME = (tg.Relu(), tg.LeakyRelu(0.2), tg.Erf(1.2, 0.8, 0.1))
AFFINE = st.builds(
    Affine,
    w=st.floats(0.3, 2.5),
    b=st.sampled_from([0.0, 0.2]),
    u=st.floats(0.0, 3.0),
    v=st.sampled_from([0.0, 0.2, 1.0]),
)


@st.composite
def heads(draw):
    """Layers, some with normalisation, some inside a residual branch."""
    ops = []
    for _ in range(draw(st.integers(0, 4))):
        body = [draw(AFFINE)]
        body += draw(st.sampled_from([[], [Normalize(1e-6)]]))
        body += draw(st.sampled_from([[]] + [[Activate(f)] for f in SOME] * 2))
        branch = draw(st.sampled_from(["none", "identity", "swapped", "twice"]))
        if branch == "identity":
            body = [Push(), *body, draw(AFFINE), Add()]
        elif branch == "swapped":
            body = [Push(), draw(AFFINE), Swap(), *body, Add()]
        elif branch == "twice":
            body = [*body, Push(), Add()]
        ops += body
    return (*ops, *draw(st.sampled_from([(), (Affine(1.0, 0.0, 1.0, 0.0),)])))


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    head=heads(),
    n=st.integers(1, 70),
    m=st.integers(0, 70),
    d=st.integers(1, 70),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_values_and_gradients_of_random_programs(head, n, m, d, dtype, seed):
    rng = np.random.default_rng(seed)
    program = program_of(d, *head)
    # In one dimension all rows are parallel: that is the next test.
    d = max(d, 2)
    program = program_of(d, *head)
    x1 = rng.standard_normal((n, d))
    x2 = rng.standard_normal((m, d)) if m else None
    bars = rng.standard_normal((2, n, m or n))
    got, want = both(program, x1, x2, bars, dtype)
    # In float64 the reference loses digits too, where rows happen to be near.
    values, gradients = (2e-6, 2e-5) if dtype == np.float32 else (1e-12, 1e-9)
    assert_close(got[:2], want[:2], values)
    assert_close(got[2:], want[2:], gradients)
    if m == 0:
        for k in got[:2]:
            np.testing.assert_array_equal(k, k.T)


def special_rows():
    """Rows that are equal, opposite, parallel, nearly equal, or zero."""
    rng = np.random.default_rng(3)
    x1, x2 = rng.standard_normal((12, 6)), rng.standard_normal((10, 6))
    x2[0], x2[1], x2[2], x2[3] = x1[0], -x1[1], 2 * x1[2], x1[3]
    x2[4] = x1[4] + 1e-3 * rng.standard_normal(6)
    x1[5] = x2[5] = x1[6] = 0
    x1[7] = x1[8]
    return x1, x2


def stack_of(activation, bias, depth=3):
    layer = (Affine(1.6, bias, 1.6, bias), Activate(activation))
    return program_of(6, *layer * depth, Affine(1.0, bias, 1.0, bias))


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("two_inputs", [True, False])
@pytest.mark.parametrize("activation", [tg.Relu(), tg.Erf()], ids=["relu", "erf"])
def test_equal_parallel_near_and_zero_rows(activation, bias, dtype, two_inputs):
    x1, x2 = special_rows()
    x1, x2 = (x.astype(np.float32).astype(np.float64) for x in (x1, x2))
    x2 = x2 if two_inputs else None
    rng = np.random.default_rng(0)
    bars = rng.standard_normal((2, 12, 10 if two_inputs else 12))
    if two_inputs and isinstance(activation, tg.Relu):
        # Where rows are parallel the reference takes their angle from rounding errors,
        # about 1e-8, and has no derivative.
        bars[:, [0, 1, 2, 3], [0, 1, 2, 3]] = 0
    got, want = both(stack_of(activation, bias), x1, x2, bars, dtype)
    values = 1e-6 if dtype == np.float32 else 3e-8
    assert_close(got[:2], want[:2], values)
    # The reference has e = 1e-6 from a difference of numbers near 1: to 1e-10.
    assert_close(got[2:], want[2:], 3e-6 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5, 1e-7])
def test_float32_keeps_the_angle_of_nearly_equal_rows(distance):
    rng = np.random.default_rng(1)
    x1 = rng.standard_normal((9, 64)).astype(np.float32)
    x2 = (x1 + distance * rng.standard_normal((9, 64))).astype(np.float32)
    program = program_of(64, *stack_of(tg.Relu(), 0.1, 30).head)
    x2[4:] = rng.standard_normal((5, 64))
    bars = rng.standard_normal((2, 9, 9)).astype(np.float32)
    wide = [x.astype(np.float64) for x in (x1, x2)]
    for got, want in zip(kernel(program, x1, x2), kernel(program, *wide), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    wanted = vjp(program, *wide, *bars.astype(np.float64))
    for got, want in zip(vjp(program, x1, x2, *bars), wanted, strict=True):
        assert abs(got - want).max() <= 1e-5 * abs(want).max()


def test_many_nearly_equal_rows_are_as_accurate():
    rng = np.random.default_rng(1)
    x = (rng.standard_normal(50) + 1e-3 * rng.standard_normal((80, 50))).astype("f4")
    program = program_of(50, *stack_of(tg.Relu(), 0.1, 5).head)
    for got, want in zip(
        kernel(program, x, x + 0), kernel(program, x.astype("f8")), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [tg.Sign(), tg.RectifiedMonomial(3), tg.Rbf(0.4), tg.Polynomial((0.1, 0.5, 0.2))],
    ids=["sign", "power", "exponential", "polynomial"],
)
def test_other_families_in_value_and_gradient(activation):
    rng = np.random.default_rng(5)
    x1, x2 = rng.standard_normal((17, 6)), rng.standard_normal((9, 6))
    bars = rng.standard_normal((2, 17, 9))
    program = stack_of(activation, 0.2, 2)
    got, want = both(program, x1, x2, bars, np.float64)
    assert_close(got, want, 1e-11)
    got, want = both(program, x1, x2, bars, np.float32)
    assert_close(got, want, 1e-5)


@pytest.mark.parametrize("norm", [1e-6, 1e6])
def test_small_and_large_norms(norm):
    rng = np.random.default_rng(5)
    x1, x2 = norm * rng.standard_normal((7, 6)), norm * rng.standard_normal((9, 6))
    bars = rng.standard_normal((2, 7, 9))
    got, want = both(stack_of(tg.Relu(), 0.0), x1, x2, bars, np.float32)
    assert_close(got, want, 1e-5)
    # With a bias, small rows are nearly equal after one layer, and the reference, which
    # subtracts c^2 from p q, has 4 digits of their angle. The engine has all of them.
    program = stack_of(tg.Relu(), 0.1)
    single, double = (
        (*kernel(program, *xs), *vjp(program, *xs, *bars.astype(xs[0].dtype)))
        for xs in ((x1.astype("f4"), x2.astype("f4")), (x1, x2))
    )
    assert_close(single, double, 1e-5)


def test_a_network_lowers_to_the_values_of_the_exact_engine():
    rng = np.random.default_rng(2)
    x1, x2 = rng.standard_normal((30, 11)), rng.standard_normal((21, 11))
    inner = tg.serial(tg.Dense(9, W_std=0.8), tg.LayerNorm(), tg.Gelu(), tg.Dense(9))
    net = tg.serial(
        tg.Dense(9, W_std=1.3, b_std=0.2, parameterization="standard"),
        tg.FanOut(2),
        tg.parallel(tg.Identity(), inner),
        tg.FanInSum(),
        tg.Relu(),
        tg.Dense(1),
    )
    got = kernel(lower(net, x1.shape), x1, x2)
    for a, b in zip(got, tg.ExactKernel(net)(x1, x2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_one_kernel_at_a_time_is_the_same():
    rng = np.random.default_rng(2)
    x1, x2 = rng.standard_normal((30, 6)), rng.standard_normal((21, 6))
    program = stack_of(tg.Relu(), 0.1)
    nngp, ntk = kernel(program, x1, x2)
    np.testing.assert_array_equal(kernel(program, x1, x2, "nngp"), nngp)
    np.testing.assert_array_equal(kernel(program, x1, x2, ("ntk",))[0], ntk)
    bar = rng.standard_normal((30, 21))
    zero = np.zeros_like(bar)
    for one, two in (((bar, None), (bar, zero)), ((None, bar), (zero, bar))):
        for a, b in zip(
            vjp(program, x1, x2, *one), vjp(program, x1, x2, *two), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_and_threads_change_nothing(monkeypatch, threads, symmetric):
    rng = np.random.default_rng(2)
    x1, x2 = rng.standard_normal((150, 6)), rng.standard_normal((131, 6))
    x2 = None if symmetric else x2
    bars = rng.standard_normal((2, 150, 150 if symmetric else 131))
    program = stack_of(tg.Relu(), 0.1)
    whole = (*kernel(program, x1, x2), *vjp(program, x1, x2, *bars))
    monkeypatch.setattr(cpu_dense, "ROWS", PANEL)
    monkeypatch.setattr(cpu_dense, "COLUMNS", 2 * PANEL)
    parts = (
        *kernel(program, x1, x2, threads=threads),
        *vjp(program, x1, x2, *bars, threads=threads),
    )
    for a, b in zip(whole, parts, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13 * abs(b).max())


def test_memory_does_not_grow_with_rows_or_depth():
    """At most 64 MB beyond inputs and results; NumPy reports its arrays here."""
    x = np.random.default_rng(0).standard_normal((3000, 6)).astype(np.float32)
    program = stack_of(tg.Relu(), 0.1, 40)
    kernel(program, x[:2], x[:2])
    vjp(program, x[:2], x[:2], *np.ones((2, 2, 2), np.float32))
    bars = np.ones((2, 3000, 3000), np.float32)
    for call, results in (
        (lambda: kernel(program, x, x), 2 * 4 * 3000**2),
        (lambda: vjp(program, x, x, *bars), 2 * x.nbytes),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - results <= 64 << 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (4, 130, 32), (7, 300, 45)])
def test_matrix_products(m, k, n, dtype):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    C = np.zeros((m, n + -n % PANEL), dtype)
    add_product(C, A.astype(dtype), packed(B.astype(dtype).T, np.dtype(dtype)), 0, m)
    tolerance = 40 * np.finfo(dtype).eps * k**0.5
    np.testing.assert_allclose(C[:, :n], A @ B.T, rtol=0, atol=tolerance)
    assert not C[:, n:].any()


def test_bad_input_is_refused_before_any_work():
    program = stack_of(tg.Relu(), 0.1)
    x = np.ones((3, 6))
    with pytest.raises(ValueError, match="x2 has shape"):
        kernel(program, x, np.ones((3, 5)))
    with pytest.raises(ValueError, match="x1 has infinite or NaN"):
        kernel(program, x * np.nan)
    with pytest.raises(TypeError, match="convert one of them"):
        kernel(program, x, x.astype(np.float32))
    with pytest.raises(ValueError, match="nngp has shape.*expected"):
        vjp(program, x, None, np.ones((3, 4)))
    image = lower(tg.serial(tg.Conv(3, (3, 3)), tg.Flatten()), (1, 4, 4, 2))
    with pytest.raises(ValueError, match="expected a fully connected network"):
        Plan(image)
