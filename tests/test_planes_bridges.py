"""The compiled CPU engine called from torch and JAX."""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import tangency as tg
from tangency.kernels.planes.host import HostKernel
from tangency.kernels.planes.lowering import lower

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

from tangency.kernels.planes import jax as jax_bridge  # noqa: E402
from tangency.kernels.planes import torch as torch_bridge  # noqa: E402

NAMES = ("nngp", "ntk")


def network():
    layers = (tg.Dense(8, W_std=1.4, b_std=0.2), tg.Relu()) * 2
    return tg.serial(*layers, tg.Dense(1, b_std=0.1))


def host_of(net, shape, names=NAMES):
    return HostKernel(lower(net, shape), names)


def inputs(seed=0, n=5, m=7, d=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d))


def weights(n=5, m=7):
    return np.random.default_rng(9).standard_normal((2, n, m))


@dataclass(frozen=True)
class Product:
    """A host whose kernels are x1 x2^T and its square: the bridges know no more."""

    names: tuple[str, ...] = NAMES

    def forward(self, x1, x2):
        k = x1 @ (x1 if x2 is None else x2).T
        return k, k * k

    def vjp(self, x1, x2, cotangents):
        k, other = x1 @ (x1 if x2 is None else x2).T, x1 if x2 is None else x2
        bar = cotangents[0] + 2 * k * cotangents[1]
        g1, g2 = bar @ other, bar.T @ x1
        return (g1 + g2, None) if x2 is None else (g1, g2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("one_input", [False, True])
def test_torch_gives_the_values_and_gradients_of_the_exact_engine(dtype, one_input):
    net = network()
    tolerance = {"float32": 2e-6, "float64": 1e-12}[dtype]
    arrays = [x.astype(dtype) for x in inputs()][: 1 if one_input else 2]
    bars = weights(5, 5 if one_input else 7)
    results = []
    for exact in (False, True):
        xs = [torch.tensor(x, requires_grad=True) for x in arrays]
        if exact:
            kernels = tg.ExactKernel(net)(*xs)
        else:
            kernels = torch_bridge.kernels(host_of(net, arrays[0].shape), *xs)
        assert all(k.dtype == xs[0].dtype for k in kernels)
        loss = sum(
            (k * torch.tensor(b)).sum() for k, b in zip(kernels, bars, strict=True)
        )
        loss.backward()
        results.append([*kernels, *(x.grad for x in xs)])
    for got, want in zip(*results, strict=True):
        scale = float(want.detach().abs().max())
        difference = float((got - want).detach().abs().max())
        assert difference <= tolerance * scale


def test_torch_func_differentiates_in_reverse_and_batches():
    host = Product()
    x1, x2 = (torch.tensor(x) for x in inputs())

    def loss(x1, x2):
        k, square = torch_bridge.kernels(host, x1, x2)
        return k.sum() + (square * torch.tensor(weights()[0])).sum()

    def plain(x1, x2):
        k = x1 @ x2.T
        return k.sum() + (k * k * torch.tensor(weights()[0])).sum()

    for got, want in zip(
        torch.func.grad(loss, (0, 1))(x1, x2),
        torch.func.grad(plain, (0, 1))(x1, x2),
        strict=True,
    ):
        torch.testing.assert_close(got, want)
    batch = torch.stack([x1, 2 * x1, x1 - 1])
    for f in (loss, torch.func.grad(loss)):
        got = torch.func.vmap(f, in_dims=(0, None))(batch, x2)
        want = torch.stack([f(x, x2) for x in batch])
        torch.testing.assert_close(got, want)
    jacobian = torch.func.jacrev(lambda x: torch_bridge.kernels(host, x, x2)[0])(x1)
    torch.testing.assert_close(
        jacobian, torch.func.jacrev(lambda x: x @ x2.T)(x1), check_stride=False
    )


def test_torch_passes_gradcheck():
    x1, x2 = (torch.tensor(x, requires_grad=True) for x in inputs())
    host = host_of(network(), x1.shape)
    assert torch.autograd.gradcheck(
        lambda a, b: torch_bridge.kernels(host, a, b), (x1, x2)
    )
    assert torch.autograd.gradcheck(lambda a: torch_bridge.kernels(host, a), (x1,))


# torch.func.jvp itself uses the deprecated torch.jit.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torch_refuses_second_and_forward_derivatives_and_other_devices():
    host = Product()
    x1, x2 = (torch.tensor(x, requires_grad=True) for x in inputs())
    (first,) = torch.autograd.grad(
        torch_bridge.kernels(host, x1, x2)[1].sum(), x1, create_graph=True
    )
    with pytest.raises(NotImplementedError, match="engine='exact'"):
        first.sum().backward()
    with pytest.raises(NotImplementedError, match="reverse mode"):
        torch.func.jvp(
            lambda x: torch_bridge.kernels(host, x, x2.detach())[0],
            (x1.detach(),),
            (x1.detach(),),
        )
    with pytest.raises(ValueError, match="x2 is on meta.*x2.cpu()"):
        torch_bridge.kernels(host, x1, x2.to("meta"))


def test_torch_needs_a_gradient_of_one_input_only():
    host = Product()
    x1, x2 = (torch.tensor(x) for x in inputs())
    x2.requires_grad_()
    torch_bridge.kernels(host, x1, x2)[0].sum().backward()
    torch.testing.assert_close(x2.grad, x1.sum(0).expand(7, -1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("one_input", [False, True])
def test_jax_gives_the_values_and_gradients_of_the_exact_engine(dtype, one_input):
    net = network()
    tolerance = {"float32": 2e-6, "float64": 1e-12}[dtype]
    arrays = [x.astype(dtype) for x in inputs()][: 1 if one_input else 2]
    bars = weights(5, 5 if one_input else 7).astype(dtype)
    host = host_of(net, arrays[0].shape)

    def compiled(xs):
        kernels = jax_bridge.kernels(host, *xs)
        return sum((k * b).sum() for k, b in zip(kernels, bars, strict=True)), kernels

    def exact(xs):
        kernels = tg.ExactKernel(net)(*xs)
        return sum((k * b).sum() for k, b in zip(kernels, bars, strict=True)), tuple(
            kernels
        )

    with jax.enable_x64(dtype == "float64"):
        xs = tuple(jax.numpy.asarray(x) for x in arrays)
        results = []
        for f in (jax.jit(jax.value_and_grad(compiled, has_aux=True)), None):
            f = f or jax.value_and_grad(exact, has_aux=True)
            (_, kernels), gradients = f(xs)
            assert all(k.dtype == xs[0].dtype for k in (*kernels, *gradients))
            results.append([np.asarray(a) for a in (*kernels, *gradients)])
    for got, want in zip(*results, strict=True):
        assert abs(got - want).max() <= tolerance * abs(want).max()


def test_jax_batches_one_after_the_other():
    host = Product()
    x1, x2 = (jax.numpy.asarray(x, "float32") for x in inputs())
    batch = jax.numpy.stack([x1, 2 * x1, x1 - 1])

    def loss(x1, x2):
        return jax_bridge.kernels(host, x1, x2)[1].sum()

    for f in (loss, jax.grad(loss)):
        got = jax.jit(jax.vmap(f, in_axes=(0, None)))(batch, x2)
        want = jax.numpy.stack([f(x, x2) for x in batch])
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_jax_refuses_second_and_forward_derivatives():
    host = Product()
    x1, x2 = (jax.numpy.asarray(x, "float32") for x in inputs())

    def loss(x1):
        return jax_bridge.kernels(host, x1, x2)[1].sum()

    with pytest.raises(NotImplementedError, match="engine='exact'"):
        jax.grad(lambda x: jax.grad(loss)(x).sum())(x1)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (x1,), (x1,))


def test_images_of_one_pixel_are_rows():
    net = tg.serial(tg.Flatten(), *network().layers)
    x1, x2 = (x.reshape(-1, 1, 1, 4) for x in inputs())
    host, exact = host_of(net, x1.shape), tg.ExactKernel(net)(x1, x2)
    for got, want in zip(host.forward(x1, x2), exact, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    g1, g2 = host.vjp(x1, x2, tuple(weights()))
    assert (g1.shape, g2.shape) == (x1.shape, x2.shape)
    assert host.vjp(x1, None, (weights(5, 5)[0],) * 2)[1] is None


def test_the_engine_does_not_import_frameworks():
    code = (
        "import sys, tangency.kernels.planes.host;"
        "assert not {'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
