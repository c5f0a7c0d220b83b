"""Training of finite networks in JAX, with optax."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ..kernels.finite import apply, init, ntk_spectrum
from .architectures import standard_parameterization
from .finite_settings import Training

Tree = Any

# Test images of one call.
ROWS = 256


def train(
    net: Any, images: np.ndarray, labels: np.ndarray, training: Training, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """``predict`` of a network trained on images ``[n, ...]`` with labels ``[n, C]``.

    Raises:
        FloatingPointError: training diverged.
    """
    if training.parameterization == "standard":
        net = standard_parameterization(net)
    x, y = jnp.asarray(images, jnp.float32), jnp.asarray(labels, jnp.float32)
    start, order = jax.random.split(jax.random.key(seed))
    params = init(net, start, x.shape, jnp.float32)
    rate = training.learning_rate
    if rate is None:
        rate = training.fraction * largest_rate(net, params, x, training.momentum)
    schedule = optax.cosine_decay_schedule(rate, training.steps)
    optimiser = optax.sgd(schedule, momentum=training.momentum)
    first = params if training.centred else None
    f = jax.jit(partial(_output, net, first))
    # What is subtracted later is added to the labels now.
    shifted = y - f(params, x) + apply(net, params, x)
    last = _fit(net, training, optimiser, params, x, shifted, order)
    _check(f, last, x, y, rate, training)
    return partial(_predict, f, last)


def _output(net: Any, first: Tree, params: Tree, x: Any) -> Any:
    """The network, less the one that has the weights ``first``, if any."""
    found = apply(net, params, x)
    return found if first is None else found - apply(net, first, x)


def _check(
    f: Any, params: Tree, x: Any, y: Any, rate: float, training: Training
) -> None:
    """An error where training has made the fit worse than that of a constant."""
    error, constant = jnp.mean((f(params, x) - y) ** 2), jnp.mean(y**2)
    if not bool(error <= 10 * constant):
        raise FloatingPointError(
            f"train_network: training diverged at learning rate {rate:.3g}; pass a "
            f"smaller fraction than {training.fraction}, or more l2"
        )


def largest_rate(net: Any, params: Tree, x: Any, momentum: float) -> float:
    """The largest learning rate at which descent with momentum does not diverge.

    Heavy-ball steps on a quadratic with largest curvature c are stable below
    2 (1 + momentum) / c, and c is the largest eigenvalue of the NTK over n.

    Reference: Polyak 1964; Lee et al. 2019 (1902.06720), section 2.3.
    """
    top = ntk_spectrum(partial(apply, net), params, x, k=1, probes=1).eigenvalues[0]
    return 2 * (1 + momentum) * len(x) / float(top)


def _fit(
    net: Any, training: Training, optimiser: Any, params: Tree, x: Any, y: Any, key: Any
) -> Tree:
    """The weights after all steps, in one compiled loop."""
    n, size = len(x), min(training.batch, len(x))

    def loss(weights: Tree, rows: Any) -> Any:
        error = apply(net, weights, x[rows]) - y[rows]
        square = sum(jnp.vdot(w, w) for w in jax.tree.leaves(weights))
        return jnp.sum(error**2) / (2 * size) + training.l2 / 2 * square

    def step(carry: Any, key: Any) -> Any:
        weights, state = carry
        drawn = jax.random.choice(key, n, (size,), replace=False)
        rows = jnp.arange(n) if size == n else drawn
        updates, state = optimiser.update(jax.grad(loss)(weights, rows), state)
        return (optax.apply_updates(weights, updates), state), None

    @jax.jit
    def run(weights: Tree, keys: Any) -> Tree:
        return lax.scan(step, (weights, optimiser.init(weights)), keys)[0][0]

    return run(params, jax.random.split(key, training.steps))


def _predict(f: Any, params: Tree, x: np.ndarray) -> np.ndarray:
    parts = [
        np.asarray(f(params, jnp.asarray(x[i : i + ROWS], jnp.float32)))
        for i in range(0, len(x), ROWS)
    ]
    return np.concatenate(parts)
