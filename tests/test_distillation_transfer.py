"""Finite networks trained on distilled sets, and accuracies of kernels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tangency as tg
from tangency.distillation.architectures import (
    ARCHITECTURES,
    standard_parameterization,
)
from tangency.distillation.evaluation import Transfer, evaluate, kernel_accuracy
from tangency.distillation.finite_settings import Training
from tangency.distillation.finite_training import train_network
from tangency.distillation.jax_training import largest_rate


def problem(n=12, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    labels = np.arange(n) % classes
    return x + 2 * np.eye(classes, d)[labels].astype(np.float32), labels


def linear(outputs=3, **options):
    return tg.serial(tg.Dense(outputs, **options))


def reference_descent(w, x, y, training, rate):
    """Heavy-ball steps on a linear model in float64, written out."""
    speed = np.zeros_like(w)
    for step in range(training.steps):
        gradient = x.T @ (x @ w - y) / len(x) + training.l2 * w
        speed = training.momentum * speed + gradient
        cosine = (1 + np.cos(np.pi * step / training.steps)) / 2
        w = w - rate * cosine * speed
    return w


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("centred", [False, True])
def test_training_is_descent_with_momentum_on_a_cosine(l2, centred):
    x, labels = problem()
    y = tg.centred_one_hot(labels, 3)
    training = Training(steps=40, learning_rate=0.05, l2=l2, centred=centred)
    predict = train_network(linear(), x, y, training, seed=3)
    start, _ = jax.random.split(jax.random.key(3))
    net = standard_parameterization(linear())
    ((first,),) = [p.values() for p in tg.init(net, start, x.shape, jnp.float32)]
    first = np.asarray(first, np.float64)
    away = x @ first if centred else 0.0
    w = reference_descent(first, x, y + away, training, 0.05)
    np.testing.assert_allclose(predict(x), x @ w - away, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_largest_rate_is_where_descent_starts_to_diverge(momentum):
    x, labels = problem()
    y = tg.centred_one_hot(labels, 3)
    net = standard_parameterization(linear())
    params = tg.init(net, jax.random.key(0), x.shape)
    rate = largest_rate(net, params, jnp.asarray(x), momentum)
    top = np.linalg.eigvalsh(x.T.astype(np.float64) @ x)[-1]
    assert rate == pytest.approx(2 * (1 + momentum) * len(x) / top, rel=1e-4)
    # A constant rate just below it converges, and one above it does not.
    for factor, stable in ((0.98, True), (1.02, False)):
        w, speed = np.ones((5, 3)), np.zeros((5, 3))
        for _ in range(2000):
            speed = momentum * speed + x.T @ (x @ w - y) / len(x)
            w = w - factor * rate * speed
        assert (np.abs(w).max() < 10) == stable


def test_minibatches_are_drawn_from_all_images():
    x, labels = problem(n=30)
    y = tg.centred_one_hot(labels, 3)
    training = Training(steps=400, batch=10, l2=0.0, fraction=0.05)
    predict = train_network(linear(), x, y, training)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    # The rate falls to zero, and with it the noise of the batches; at half the
    # largest rate of all images, batches of 10 in 5 dimensions diverge.
    assert np.abs(predict(x) - x @ best).max() < 0.2
    other = train_network(linear(), x, y, training, seed=1)
    assert not np.array_equal(predict(x), other(x))
    again = train_network(linear(), x, y, training)
    np.testing.assert_array_equal(predict(x), again(x))


def test_a_wide_network_becomes_its_kernel_regression():
    x, labels = problem(n=9)
    y = tg.centred_one_hot(labels, 3)
    net = tg.serial(tg.Dense(4096, W_std=2**0.5), tg.Relu(), tg.Dense(3))
    training = Training(
        steps=1000, fraction=0.5, l2=0.0, momentum=0.9, parameterization="ntk"
    )
    test = problem(n=6, seed=1)[0]
    # The network starts from zero, as the prior mean of the regression is.
    found = train_network(net, x, y, training)(test)
    model = tg.KernelRegression.fit(tg.ExactKernel(net), x, y, get="ntk", ridge=0.0)
    expected, _, _ = model.predict(test)
    # At width 4096 the kernel is off by a few times 1 / 64.
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_architectures_take_images_of_8_pixels_and_more():
    for name, make in ARCHITECTURES.items():
        net = make(outputs=7, width=4)
        for shape in ((1, 8, 8, 1), (1, 25, 25, 1), (1, 28, 28, 1), (1, 32, 32, 3)):
            make_weights = partial(tg.init, net, input_shape=shape)
            params = jax.eval_shape(make_weights, jax.random.key(0))
            out = jax.eval_shape(partial(tg.apply, net), params, jnp.zeros(shape))
            assert out.shape == (1, 7), (name, shape)


def test_standard_parameterization_keeps_the_function_space():
    branches = tg.parallel(tg.Dense(4, 1.5), tg.Identity())
    net = tg.serial(
        tg.Dense(4, 1.3, 0.1), tg.Relu(), tg.FanOut(2), branches, tg.FanInSum()
    )
    standard = standard_parameterization(net)
    x = np.random.default_rng(0).normal(size=(5, 3))
    one, two = (tg.ExactKernel(n)(x, get="nngp") for n in (net, standard))
    np.testing.assert_allclose(one, two, rtol=1e-12)
    assert standard.layers[3].branches[0].parameterization == "standard"


def test_kernel_accuracy_is_that_of_kernel_regression():
    train, test = tg.digits()
    few = train.few(50)
    kernel = tg.ExactKernel(ARCHITECTURES["fc2"]())
    sets = few.images, few.targets, test.images, test.labels
    found = kernel_accuracy(kernel, *sets, ridge=1e-3, get="nngp", tile=64)
    model = tg.KernelRegression.fit(
        kernel, few.images, few.targets, get="nngp", ridge=1e-3
    )
    mean, _, _ = model.predict(test.images)
    assert found == tg.accuracy(mean, test.labels)
    assert 0.7 < found < 1
    # Distilled images are float64 where nothing else is asked for.
    wide = few.images.astype(np.float64), *sets[1:]
    assert kernel_accuracy(kernel, *wide, ridge=1e-3, get="nngp") == found


def test_scores_of_a_support_set_come_with_natural_images_of_equal_count():
    train, test = tg.digits()
    few = train.few(20, seed=9)
    scores = list(
        evaluate(
            (few.images, few.targets),
            (train.images, train.labels),
            (test.images, test.labels),
            {"fc1": ARCHITECTURES["fc1"](width=32)},
            seeds=2,
            training=Training(steps=20),
        )
    )
    assert [(s.name, s.of) for s in scores] == [
        ("fc1", "NTK"),
        ("fc1", "NNGP"),
        ("fc1", "trained"),
    ]
    assert [len(s.distilled) for s in scores] == [1, 1, 2]
    assert all(len(s.natural) == 2 for s in scores)
    natural = train.few(20, seed=1)
    kernel = tg.ExactKernel(ARCHITECTURES["fc1"]())
    sets = natural.images, natural.targets, test.images, test.labels
    assert scores[0].natural[1] == kernel_accuracy(kernel, *sets)


def test_a_run_can_be_stopped_where_a_trained_network_is_best(tmp_path):
    train, _ = tg.digits()
    net = ARCHITECTURES["fc1"](width=16)
    config = tg.distillation.Config(
        net, per_class=1, steps=4, batch=50, validation=0.2, evaluate_every=2
    )
    run = tg.distillation.Run.create(
        tmp_path / "run", config, train.images, train.labels
    )
    score = Transfer(net, Training(steps=30))
    run.train(progress=False, score=score)
    seen = [row["validation_accuracy"] for row in run.metrics[1::2]]
    assert len(seen) == 2 and run.checkpoint("best.npz").best == max(seen)


@pytest.mark.slow
def test_distilled_digits_train_a_finite_network_to_93_percent(tmp_path):
    # The setting of docs/distillation.md: few steps, and much of a ridge.
    train, test = tg.digits()
    net = ARCHITECTURES["fc2"]()
    images, labels = tg.distill(
        net,
        train.images,
        train.labels,
        progress=False,
        per_class=10,
        steps=300,
        batch=500,
        learning_rate=4e-3,
        ridge=0.1,
    )
    found = [
        Transfer(net, seed=s)(images, labels, test.images, test.labels)
        for s in range(3)
    ]
    assert np.mean(found) >= 0.93
    kernel = tg.ExactKernel(net)
    assert kernel_accuracy(kernel, images, labels, test.images, test.labels, 0.1) > 0.96


def bad_calls():
    x, labels = problem()
    y = tg.centred_one_hot(labels, 3)
    yield "steps", lambda: Training(steps=0), ValueError, "steps is 0"
    yield "batch", lambda: Training(batch=1.5), ValueError, "batch is 1.5"
    yield "fraction", lambda: Training(fraction=-1), ValueError, "number > 0"
    yield "nan", lambda: Training(l2=float("nan")), ValueError, "l2 is nan"
    yield "momentum", lambda: Training(momentum=1.0), ValueError, "below 1"
    yield "form", lambda: Training(parameterization="x"), ValueError, "'standard' or"
    yield "rows", lambda: train_network(linear(), x, y[:3]), ValueError, r"\[12, class"
    wild = Training(learning_rate=1e6, steps=200)
    yield (
        "wild",
        lambda: train_network(linear(), x, y, wild),
        FloatingPointError,
        "rate",
    )
    none = lambda: list(evaluate((x, y), (x, labels), (x, labels), {}, seeds=0))  # noqa: E731
    yield "seeds", none, ValueError, "seeds is 0"


@pytest.mark.parametrize(
    ("call", "kind", "match"), [pytest.param(*c[1:], id=c[0]) for c in bad_calls()]
)
def test_bad_input_is_named(call, kind, match):
    with pytest.raises(kind, match=match):
        call()
