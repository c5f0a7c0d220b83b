"""Finite networks in JAX and torch, and Monte Carlo kernels as oracles."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from quick_jax import QUICK

import tangency as tg
from tangency import dual_activations
from tangency.kernels.finite import MonteCarloKernel, apply, init, to_torch

jax = pytest.importorskip("jax")
jnp = jax.numpy

ACTIVATIONS = {
    name: thing
    for name in dual_activations.__all__
    if isinstance(thing := getattr(dual_activations, name), type)
    and issubclass(thing, tg.Activation)
    and thing is not tg.Activation
}
ARGUMENTS = {
    "ABRelu": (0.3, 1.2),
    "Hermite": (2,),
    "LeakyRelu": (0.1,),
    "Monomial": (3,),
    "PiecewiseLinear": ((-1.0, 1.0), (1.0, -0.5)),
    "Polynomial": ((0.5, 1.0, -0.2),),
    "RectifiedMonomial": (2,),
    "ScaledGelu": (1.5,),
    "Elementwise": (np.tanh,),
}
# Only a kernel, no function: exponentials of infinite Taylor series of features.
NO_FUNCTION = ("ExpNormalized",)
W = 128


def convolution(**options):
    return tg.Conv(W, (3, 2), W_std=1.3, b_std=0.3, **options)


def read_out(*layers):
    return tg.serial(*layers, tg.Dense(4, b_std=0.1))


NETWORKS = {
    "dense": (read_out(tg.Dense(W, W_std=1.4, b_std=0.3), tg.Relu()), (3, 5)),
    "standard": (
        read_out(
            tg.Dense(W, W_std=1.4, b_std=0.3, parameterization="standard"),
            tg.Relu(),
            tg.Dense(W, parameterization="standard"),
        ),
        (3, 5),
    ),
    "convolution": (
        read_out(convolution(padding="SAME"), tg.Relu(), tg.GlobalAvgPool()),
        (3, 5, 4, 2),
    ),
    "circular": (
        read_out(
            convolution(padding="CIRCULAR", strides=(2, 1)),
            tg.Relu(),
            tg.Conv(W, (2, 2), parameterization="standard", b_std=0.2),
            tg.Flatten(),
        ),
        (3, 5, 4, 2),
    ),
    "sequence": (
        read_out(tg.Conv(W, (3,), padding="SAME"), tg.Relu(), tg.GlobalSumPool()),
        (3, 5, 2),
    ),
    "pools": (
        read_out(
            convolution(padding="VALID"),
            tg.Relu(),
            tg.AvgPool((2, 2), padding="SAME", normalize_edges=True),
            tg.SumPool((2, 1), (1, 2), "CIRCULAR"),
            tg.AvgPool((2, 2)),
            tg.Flatten(),
        ),
        (3, 6, 6, 2),
    ),
    "layer norm": (
        read_out(tg.Dense(W, W_std=2.0), tg.LayerNorm(), tg.Relu()),
        (3, 5),
    ),
    "spatial norm": (
        read_out(
            convolution(padding="SAME"),
            tg.LayerNorm(axis=(1, 2, -1)),
            tg.Relu(),
            tg.Flatten(),
        ),
        (3, 4, 3, 2),
    ),
    "dropout": (read_out(tg.Dense(W), tg.Relu(), tg.Dropout(0.3)), (3, 5)),
    "residual": (
        read_out(
            tg.Dense(W),
            tg.FanOut(2),
            tg.parallel(tg.serial(tg.Relu(), tg.Dense(W, b_std=0.2)), tg.Identity()),
            tg.FanInSum(),
        ),
        (3, 5),
    ),
    "product": (
        read_out(
            tg.FanOut(2),
            tg.parallel(
                tg.serial(tg.Dense(W), tg.Relu()), tg.serial(tg.Dense(W, W_std=0.7))
            ),
            tg.FanInProd(),
        ),
        (3, 5),
    ),
    "concatenation": (
        read_out(
            tg.FanOut(2),
            tg.parallel(tg.serial(tg.Dense(W), tg.Relu()), tg.Dense(3 * W, b_std=0.4)),
            tg.FanInConcat(-1),
        ),
        (3, 5),
    ),
    "spatial concatenation": (
        read_out(
            tg.FanOut(2),
            tg.parallel(convolution(), tg.Conv(W, (2, 2))),
            tg.FanInConcat(1),
            tg.Relu(),
            tg.GlobalAvgPool(),
        ),
        (3, 4, 3, 2),
    ),
    "repeated": (read_out(tg.repeat(tg.serial(tg.Dense(W), tg.Relu()), 2)), (3, 5)),
}
TYPICAL = ("standard", "convolution", "dropout", "residual")


def inputs(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def gaps(estimate, exact):
    """Differences in standard errors, one for every pair of inputs.

    The mean over finite networks also has a bias of order 1 / width, so twice that is
    granted.
    """
    difference = np.abs(np.asarray(estimate.mean) - np.asarray(exact))
    bias = 2 / W * np.abs(np.asarray(exact))
    # Kernels that do not vary at all, as those of signs, differ by rounding.
    error = np.maximum(np.asarray(estimate.standard_error), 1e-6)
    return np.maximum(difference - bias, 0) / error


def check(net, shape, draws=200):
    x = inputs(shape)
    estimate, exact = MonteCarloKernel(net, draws)(x), tg.ExactKernel(net)(x)
    for name in ("nngp", "ntk"):
        assert getattr(estimate, name).mean.shape == getattr(exact, name).shape
        # Five standard errors: false alarms of a few pairs are one in a million.
        assert gaps(getattr(estimate, name), getattr(exact, name)).max() < 5, name


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in TYPICAL else pytest.mark.slow) for n in NETWORKS],
)
def test_the_exact_kernels_are_the_mean_over_finite_networks(name):
    check(*NETWORKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - set(NO_FUNCTION)))
def test_activations_have_the_kernels_of_finite_networks(name):
    act = ACTIVATIONS[name](*ARGUMENTS.get(name, ()))
    if name == "Elementwise":
        act = tg.Elementwise(lambda x: x / (1 + x * x))
    check(read_out(tg.Dense(W, W_std=0.8), act), (3, 5), draws=300)


@dataclass(frozen=True)
class WrongRelu(tg.Activation):
    """A fifth of the derivative is missing, a mistake that only the NTK shows."""

    def __call__(self, x):
        return tg.Relu()(x)

    def value(self, p, q, c):
        return tg.Relu().value(p, q, c)

    def derivative(self, p, q, c):
        return 0.8 * tg.Relu().derivative(p, q, c)


def test_a_wrong_formula_is_caught():
    net = read_out(tg.Dense(W, W_std=1.4), WrongRelu())
    x = inputs((3, 5))
    estimate, wrong = MonteCarloKernel(net, 200)(x), tg.ExactKernel(net)(x)
    assert gaps(estimate.nngp, wrong.nngp).max() < 5
    assert gaps(estimate.ntk, wrong.ntk).max() > 5


def test_estimates_of_two_inputs_and_of_one_kernel():
    net, shape = NETWORKS["dense"]
    kernel = MonteCarloKernel(net, 3, seed=1)
    x1, x2 = inputs(shape), inputs((2, 5), 1)
    estimate = kernel(x1, x2, "nngp")
    assert estimate.mean.shape == estimate.standard_error.shape == (3, 2)
    again = MonteCarloKernel(net, 3, seed=1)(x1, x2, "nngp")
    assert (estimate.mean == again.mean).all()
    with pytest.raises(ValueError, match="no standard error"):
        MonteCarloKernel(net, 1)


def test_spatial_estimates_are_shaped_as_exact_kernels():
    net = tg.serial(tg.Conv(8, (2, 2)), tg.Relu(), tg.Conv(8, (1, 1)))
    x = inputs((2, 4, 3, 2))
    estimate = MonteCarloKernel(net, 2)(x, get="nngp")
    assert estimate.mean.shape == tg.ExactKernel(net)(x, get="nngp").shape


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_and_jax_compute_the_same(name):
    torch = pytest.importorskip("torch")
    net, shape = NETWORKS[name]
    x = inputs(shape)
    module = to_torch(net, shape, seed=1).eval()
    if name == "dropout":
        net = read_out(tg.Dense(W), tg.Relu(), tg.Dropout(0.3, "test"))
    params = jax.eval_shape(lambda key: init(net, key, shape), jax.random.key(0))
    weights = [jnp.asarray(p.detach().numpy()) for p in module.parameters()]
    assert [w.shape for w in weights] == [p.shape for p in jax.tree.leaves(params)]
    params = jax.tree.unflatten(jax.tree.structure(params), weights)
    got = module(torch.as_tensor(x)).detach().numpy()
    run = jax.jit(partial(apply, net), compiler_options=QUICK)
    want = np.asarray(run(params, x))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - set(NO_FUNCTION)))
def test_every_activation_applies_in_torch_with_gradients(name):
    torch = pytest.importorskip("torch")
    act = ACTIVATIONS[name](*ARGUMENTS.get(name, ()))
    if name == "Elementwise":
        act = tg.Elementwise(lambda x: x / (1 + x * x))
    module = to_torch(tg.serial(tg.Dense(4), act, tg.Dense(1)), (1, 3))
    out = module(torch.as_tensor(inputs((5, 3))))
    assert out.shape == (5, 1)
    if out.requires_grad:
        out.sum().backward()
        grads = [p.grad for p in module.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in grads)


def test_weights_have_the_deviations_of_their_parameterization():
    key = jax.random.key(0)
    for parameterization, std, b_std in (("ntk", 1, 1), ("standard", 0.1, 0.5)):
        layer = tg.Dense(2000, 2.0, 0.5, parameterization)
        params = init(tg.serial(layer), key, (1, 400))[0]
        # 800 000 weights: the deviation is known to 0.1 %, that of 2000 biases to 2 %.
        assert float(params["W"].std()) == pytest.approx(std, rel=5e-3)
        assert float(params["b"].std()) == pytest.approx(b_std, rel=0.1)


def test_dropout_masks_are_independent_and_need_a_key():
    net = tg.serial(tg.Dropout(0.25), tg.Dropout(0.5))
    x = jnp.ones((2, 4000))
    out = apply(net, init(net, jax.random.key(0), x.shape), x, jax.random.key(1))
    assert set(np.unique(out)) <= {0.0, np.float32(1 / (0.75 * 0.5))}
    # 8000 units kept with probability 3/8, up to five standard errors.
    assert float((out > 0).mean()) == pytest.approx(0.375, abs=0.03)
    assert bool((out[0] != out[1]).any())
    with pytest.raises(ValueError, match="key="):
        apply(net, init(net, jax.random.key(0), x.shape), x)
    torch = pytest.importorskip("torch")
    module = to_torch(net, x.shape)
    assert (module.eval()(torch.ones(2, 10)) == 1).all()
    torch.manual_seed(0)
    assert (module.train()(torch.ones(2, 100)) == 0).any()


def test_networks_that_do_not_fit_are_refused():
    net = tg.serial(tg.Conv(4, (3, 3)), tg.Relu())
    with pytest.raises(ValueError, match="layer 0 of 2"):
        init(net, jax.random.key(0), (1, 5))
    with pytest.raises(ValueError, match="expected"):
        init(net, jax.random.key(0), (5,))
    with pytest.raises(TypeError, match="no finite-width rule"):
        apply(tg.Layer(), {}, jnp.ones((2, 3)))
