"""Gradients of the empirical kernels of torch in their inputs."""

import numpy as np
import pytest

import tangency as tg
from tangency.kernels.finite import EmpiricalKernel, Projection

torch = pytest.importorskip("torch")
import finite_modules  # noqa: E402, F401
import finite_odd_modules  # noqa: E402, F401
from finite_registry import MODULES  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

CASES = {name: make() for name, make in MODULES.items()}
REAL = [name for name, (_, x, _) in CASES.items() if x.is_floating_point()]


def rows(net, x, name):
    """What the kernel ``name`` is the product of, sample by sample: ``[n, O, P]``."""
    params = {k: p.detach().requires_grad_() for k, p in net.named_parameters()}
    found = []
    for i in range(len(x)):
        # The fused kernels of attention have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            out = functional_call(net, params, (x[i : i + 1],)).flatten()
        if name == "nngp":
            found.append(out[:, None])
            continue
        for o in out:
            grads = torch.autograd.grad(
                o, list(params.values()), create_graph=True, materialize_grads=True
            )
            found.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(found).reshape(len(x), len(out), -1)


def reference(net, x, bar, name):
    """The gradient in x of sum(bar * K(x, x)) by autodiff through the Jacobians."""
    x = x.detach().requires_grad_()
    one = rows(net, x, name)
    k = torch.einsum("nof,mof->nm", one, one) / one.shape[1]
    return torch.autograd.grad((k * torch.as_tensor(bar)).sum(), x)[0].numpy()


def check(net, x, get):
    kernel = EmpiricalKernel(net, outputs="trace")
    bar = np.random.default_rng(0).normal(size=(len(x), len(x)))
    # Two tiles on the diagonal, and one whose gradients in both inputs count.
    found = tg.compute_gradient(kernel, x, None, bar, get, tile=2)
    expected = reference(net, x, bar, get)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("name", REAL)
def test_gradients_of_the_ntk_equal_autodiff_through_the_jacobians(name):
    net, x, _ = CASES[name]
    if name == "CastWeights":
        pytest.skip("weights cast to float32 have gradients rounded to float32")
    check(net, x[:3], "ntk")


@pytest.mark.parametrize("name", ["Perceptron", "AttentionTokensFirst", "Checkpointed"])
def test_gradients_of_the_nngp_equal_autodiff_through_the_outputs(name):
    net, x, _ = CASES[name]
    check(net, x[:3], "nngp")


@pytest.mark.parametrize("get", ["ntk", "nngp"])
@pytest.mark.parametrize(
    "outputs", ["trace", "pseudo", Projection(2)], ids=["trace", "pseudo", "signs"]
)
def test_gradients_are_differences_of_the_kernel(outputs, get):
    net, x1, x2 = CASES["Convolutional"]
    # So little memory that samples are taken one at a time.
    kernel = EmpiricalKernel(net, outputs=outputs, memory=1)
    plain = EmpiricalKernel(net, outputs=outputs)
    rng = np.random.default_rng(0)
    bar = rng.normal(size=(len(x1), len(x2)))
    v, h = torch.as_tensor(rng.normal(size=x1.shape)), 1e-6

    def total(x):
        return float((plain(x, x2, get) * torch.as_tensor(bar)).sum())

    found = tg.compute_gradient(kernel, x1, x2, bar, get)
    expected = (total(x1 + h * v) - total(x1 - h * v)) / (2 * h)
    # Differences lose half of the digits; ReLU has kinks, none within h here.
    assert np.sum(found * v.numpy()) == pytest.approx(expected, rel=1e-6)


def test_kernels_without_two_axes_are_refused():
    net, x, _ = CASES["Convolutional"]
    bar = np.ones((len(x), len(x)))
    with pytest.raises(ValueError, match="outputs='trace' makes one"):
        tg.compute_gradient(EmpiricalKernel(net, trace_axes=()), x, None, bar)
    with pytest.raises(ValueError, match="vmap_axes is 1, expected samples along"):
        tg.compute_gradient(EmpiricalKernel(net, vmap_axes=1), x, None, bar)
