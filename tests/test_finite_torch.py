"""The empirical NTK of torch modules: every method against the Jacobian itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangency.kernels.finite import EmpiricalKernel, Projection

torch = pytest.importorskip("torch")
import finite_modules  # noqa: E402, F401
import finite_odd_modules  # noqa: E402, F401
from finite_registry import MODULES, PATHS  # noqa: E402
from torch import nn  # noqa: E402
from torch.func import functional_call  # noqa: E402

# Operations without Jacobian-vector products.
REVERSE_ONLY = (
    "WeightNorm",
    "Attention",
    "AttentionTokensFirst",
    "Encoder",
    "CustomFunction",
    "Checkpointed",
)


def jacobian(net, x):
    """Reference: one backward pass per sample and output, ``[n, O, P]``."""
    params = {k: p.detach().requires_grad_() for k, p in net.named_parameters()}
    rows = []
    for i in range(len(x)):
        out = functional_call(net, params, (x[i : i + 1],)).flatten()
        for o in out:
            grads = torch.autograd.grad(
                o, list(params.values()), retain_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(rows).reshape(len(x), -1, rows[0].numel())


def reference(net, x1, x2):
    return torch.einsum("nof,mpf->nmop", jacobian(net, x1), jacobian(net, x2))


def full(kernel, x1, x2=None):
    """The full NTK of a kernel, interleaved axes brought to ``[n, m, o, p]``."""
    k = kernel(x1, x2)
    axes = range(2, k.ndim, 2)
    k = k.permute(0, 1, *axes, *(a + 1 for a in axes))
    outputs = int(np.prod(k.shape[2 : 2 + len(axes)]))
    return k.reshape(*k.shape[:2], outputs, -1)


def assert_close(got, want, tolerance=1e-12):
    assert got.shape == want.shape and got.dtype == want.dtype
    assert (got - want).abs().max() <= tolerance * want.abs().max()


def tolerance_of(name):
    """Weights cast to float32 have Jacobians rounded to float32."""
    return 1e-6 if name == "CastWeights" else 1e-12


@pytest.mark.parametrize("name", MODULES)
def test_all_methods_agree_with_the_jacobian(name):
    net, x1, x2 = MODULES[name]()
    want = reference(net, x1, x2)
    for method in ("structured", "jacobian", "auto"):
        kernel = EmpiricalKernel(net, method=method, trace_axes=())
        assert_close(full(kernel, x1, x2), want, tolerance_of(name))
    kernel = EmpiricalKernel(net, method="ntk_vp", trace_axes=())
    if name in REVERSE_ONLY:
        with pytest.raises(TypeError, match="reverse mode"):
            kernel(x1, x2)
    else:
        assert_close(full(kernel, x1, x2), want, tolerance_of(name))


@pytest.mark.parametrize("name", MODULES)
def test_symmetric_kernels_and_blocks(name):
    net, x1, _ = MODULES[name]()
    want = reference(net, x1, x1)
    for memory in (2**31, 60_000):
        kernel = EmpiricalKernel(net, None, "structured", (), memory=memory)
        assert_close(full(kernel, x1), want, tolerance_of(name))


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), max_size=2),
    st.sampled_from(["tanh", "relu", "gelu"]),
    st.booleans(),
    st.integers(1, 3),
)
def test_random_networks_agree(widths, positions, act, bias, m):
    generator = torch.Generator().manual_seed(1)
    normal = lambda *s: torch.randn(*s, generator=generator).double()  # noqa: E731
    sizes, params = [3, *widths, 2], {}
    for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
        params[f"w{i}"] = normal(b, a)
        if bias:
            params[f"b{i}"] = normal(b)

    def f(p, x):
        for i in range(len(sizes) - 1):
            x = nn.functional.linear(x, p[f"w{i}"] * 0.7, p.get(f"b{i}"))
            x = getattr(nn.functional, act)(x)
        return x.sum(tuple(range(1, x.ndim - 1))) if x.ndim > 2 else x

    x1, x2 = normal(2, *positions, 3), normal(m, *positions, 3)
    kernels = [
        EmpiricalKernel(f, params, method, ())(x1, x2)
        for method in ("structured", "jacobian", "ntk_vp")
    ]
    for other in kernels[1:]:
        assert (kernels[0] - other).abs().max() <= 1e-12 * (1 + other.abs().max())


@pytest.mark.parametrize("name", [name for name in PATHS if PATHS[name]])
def test_explain_names_the_path_of_every_parameter(name):
    net, x1, x2 = MODULES[name]()
    explanation = EmpiricalKernel(net, method="structured").explain(x1, x2)
    paths = {}
    for p in explanation.parameters:
        paths |= {p.name: p.how, p.name.split(" + ")[0]: p.how}
    assert PATHS[name].items() <= paths.items()


def test_a_module_is_left_as_it_was():
    net, x1, x2 = MODULES["Norms"]()
    net.train()
    net[0].eval(), net[8].eval()
    net[1].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    flags = [(p.requires_grad, p.grad) for p in net.parameters()]
    modes = [m.training for m in net.modules()]
    for method in ("structured", "jacobian", "ntk_vp"):
        EmpiricalKernel(net, method=method)(x1, x2)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert flags == [(p.requires_grad, p.grad) for p in net.parameters()]
    assert modes == [m.training for m in net.modules()]
    assert not any(m._forward_hooks for m in net.modules())
    assert not any(vars(p) for p in net.parameters())


def test_nothing_is_left_behind_by_an_exception():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(3, 2)

        def forward(self, x):
            if torch.is_grad_enabled():
                raise RuntimeError("no")
            return self.l(x)

    net = Fails()
    with pytest.raises(RuntimeError, match="no"):
        EmpiricalKernel(net)(torch.ones(2, 3))
    assert torch.overrides._get_current_function_mode() is None
    assert isinstance(net.l.weight, nn.Parameter) and net.l.weight.requires_grad


def test_frozen_parameters_do_not_count():
    net, x1, x2 = MODULES["Perceptron"]()
    net[0].requires_grad_(False)
    got = EmpiricalKernel(net, trace_axes=())(x1, x2)
    chosen = EmpiricalKernel(net, trace_axes=(), select=["2.weight", "2.bias"])(x1, x2)
    assert_close(got, chosen)
    h1, h2 = (net[:2](x).detach() for x in (x1, x2))
    want = torch.einsum("nm,op->nmop", h1 @ h2.T + 1, torch.eye(3).double())
    assert_close(got, want)


def test_functions_of_tensors():
    generator = torch.Generator().manual_seed(0)
    w, v = (
        torch.randn(s, generator=generator, dtype=torch.float64)
        for s in ((5, 6), (3, 5))
    )
    x = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    f = lambda p, x: torch.tanh(x @ p["a"][0].T) @ p["a"][1].T  # noqa: E731
    got = EmpiricalKernel(f, {"a": [w, v]}, trace_axes=())(x)
    net = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Tanh())
    net.append(nn.Linear(5, 3, bias=False))
    net = net.double()
    net.load_state_dict({"0.weight": w, "2.weight": v})
    assert_close(got, reference(net, x, x))


@pytest.mark.parametrize(
    "options, formula, size",
    [
        ({}, "nmoo->nm", 3),
        (dict(outputs="trace"), "nmoo->nm", 3),
        (dict(outputs="diagonal"), "nmoo->nmo", 1),
        (dict(outputs="pseudo"), "nmop->nm", 3),
        (dict(trace_axes=(), diagonal_axes=(0,)), "nnop->nop", 1),
    ],
)
@pytest.mark.parametrize("method", ["structured", "ntk_vp"])
def test_axes_mean_what_they_say(method, options, formula, size):
    net, x1, _ = MODULES["Perceptron"]()
    want = torch.as_tensor(np.einsum(formula, reference(net, x1, x1)) / size)
    assert_close(EmpiricalKernel(net, method=method, **options)(x1), want)


def test_projections_use_the_same_signs_for_both_sides():
    net, x1, x2 = MODULES["Perceptron"]()
    signs = Projection(2, seed=3).rows(3)
    want = np.einsum("ro,nmop,rp->nm", signs, reference(net, x1, x2), signs) / 2
    got = EmpiricalKernel(net, outputs=Projection(2, seed=3))(x1, x2)
    assert_close(got, torch.as_tensor(want))


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2)

        def forward(self, x, y):
            return {"sum": self.a(x) + self.b(y), "x": self.a(x)}

    net = Two().double()
    x, y = torch.randn(3, 3).double(), torch.randn(3, 4).double()
    got = EmpiricalKernel(net, method="structured")((x, y))
    assert_close(got["x"], (x @ x.T + 1).detach())
    assert_close(got["sum"], (x @ x.T + y @ y.T + 2).detach())
    named = EmpiricalKernel(net)({"x": x, "y": y})
    assert_close(named["sum"], got["sum"])


def test_a_bias_is_apart_where_its_product_is_an_output_too():
    def f(p, x):
        y = x @ p["w"]
        return y, y + p["b"]

    params = {"w": torch.ones(3, 2).double(), "b": torch.ones(2).double()}
    x = torch.randn(3, 3).double()
    product, sums = EmpiricalKernel(f, params, method="structured")(x)
    assert_close(product, x @ x.T)
    assert_close(sums, x @ x.T + 1)


def test_small_modules_do_not_take_vector_products():
    """Fewer operations, but one pass in Python for every sample of x2."""
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 20))
    found = EmpiricalKernel(net, trace_axes=()).explain(torch.ones(8, 3))
    assert found.operations["ntk_vp"] < found.operations["structured"]
    assert found.method == "structured"
    wide = EmpiricalKernel(nn.Linear(64, 20000), trace_axes=())
    assert wide.explain(torch.ones(1, 64)).method == "ntk_vp"


def peak_bytes(call):
    """The largest sum of allocations that torch's profiler sees."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    # There is one cycle only; torch 2.11 and 2.12 warn that others would be forgotten.
    one = {"profile_memory": True, "acc_events": True}
    with torch.profiler.profile(activities=activities, **one) as p:
        call()
    events = [e for e in p.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda e: e.start_ns())
    return int(np.cumsum([e.nbytes() for e in events]).max())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("memory", [2**21, 2**23])
def test_memory_bounds_what_is_allocated(memory, symmetric):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 8)])
    x1 = torch.randn(12, 3, 12, 12)
    x2 = None if symmetric else x1.flip(0)
    kernel = EmpiricalKernel(net, None, "structured", (), memory=memory)
    result = kernel(x1, x2)
    assert kernel.explain(x1, x2).blocks.n < len(x1)
    # Blocks, their lines and the result are there at once while they are joined.
    joined = 3 * result.numel() * result.element_size()
    assert peak_bytes(lambda: kernel(x1, x2)) < memory + joined


def test_batch_norm_in_training_needs_the_whole_batch():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    x = torch.randn(4, 3).double()
    with pytest.raises(ValueError, match=r"1 is a BatchNorm1d.*\.eval\(\)"):
        EmpiricalKernel(net)(x)
    got = EmpiricalKernel(net, vmap_axes=None, trace_axes=())(x)
    params = {k: p.detach() for k, p in net.named_parameters()}
    buffers = {k: b.clone() for k, b in net.named_buffers()}
    buffers["1.num_batches_tracked"] = None

    def outputs(*values):
        given = {**dict(zip(params, values, strict=True)), **buffers}
        return functional_call(net, given, (x,))

    found = torch.autograd.functional.jacobian(outputs, tuple(params.values()))
    rows = torch.cat([v.flatten(2) for v in found], -1)
    assert_close(got, torch.einsum("nof,mpf->nmop", rows, rows))


class Centred(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x):
        h = self.l(x)
        return h - h.mean(0)


class Noisy(Centred):
    def forward(self, x):
        return self.l(x) + torch.randn(2)


@pytest.mark.parametrize(
    "net, options, error, match",
    [
        (Centred(), {}, ValueError, "samples interact"),
        (Noisy(), {}, ValueError, "random"),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Dropout()),
            {},
            ValueError,
            "1 is a Dropout in training mode",
        ),
        (nn.Sequential(nn.Linear(3, 2), nn.Flatten(0)), {}, ValueError, "batch axis"),
        (
            nn.Linear(3, 2).requires_grad_(False),
            {},
            ValueError,
            "requires a gradient",
        ),
        (nn.Linear(3, 2), dict(select=["w"]), ValueError, "not parameters"),
        (nn.Linear(3, 2), dict(memory=10), ValueError, "memory is 10 bytes"),
    ],
)
def test_modules_that_have_no_ntk_are_refused(net, options, error, match):
    with pytest.raises(error, match=match):
        EmpiricalKernel(net, **options)(torch.randn(3, 3))


def test_wrong_tensors_are_refused():
    net = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="x2 is torch.float64"):
        EmpiricalKernel(net)(torch.ones(2, 3), torch.ones(2, 3).double())
    with pytest.raises(ValueError, match=r"samples of shape \(4,\)"):
        EmpiricalKernel(net)(torch.ones(2, 3), torch.ones(2, 4))
    f = lambda p, x: x @ p["w"]  # noqa: E731
    with pytest.raises(TypeError, match="w has dtype torch.int64"):
        EmpiricalKernel(f, {"w": torch.ones(3, 2).long()})(torch.ones(2, 3))
    with pytest.raises(TypeError, match="torch.int64 output.*logits"):
        EmpiricalKernel(lambda p, x: (x @ p).argmax(-1), torch.ones(3, 2))(
            torch.ones(2, 3)
        )
    with pytest.raises(TypeError, match="complex"):
        EmpiricalKernel(lambda p, x: torch.complex(x @ p, x @ p), torch.ones(3, 2))(
            torch.ones(2, 3)
        )
