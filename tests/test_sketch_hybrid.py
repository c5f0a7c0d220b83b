"""What makes the hybrid good: variances, shrinkage, held-out inputs, its products."""

import numpy as np
import pytest
from sketch_cases import images, relative

import tangency as tg
from tangency.sketch import shrinkage
from tangency.sketch.blocks import Block
from tangency.sketch.shrinkage import HALVES, hold_out
from tangency.sketch.state import inputs
from tangency.sketch.walk import advance

W = 2**0.5
CONV = tg.Conv(4, (3, 3), padding="SAME", W_std=W, b_std=0.2)
NET = tg.serial(CONV, tg.Relu(), CONV, tg.Relu(), tg.GlobalAvgPool(), tg.Dense(1))


def residual(*branch):
    return tg.serial(
        tg.FanOut(2), tg.parallel(tg.Identity(), tg.serial(*branch)), tg.FanInSum()
    )


def product(*branch):
    return tg.serial(
        tg.FanOut(2), tg.parallel(tg.serial(*branch), CONV), tg.FanInProd()
    )


EXACT = {
    "convolutions": (CONV, tg.Gelu(), CONV, tg.Relu(), tg.Dense(1, W, 0.3)),
    "circular": (CONV, tg.Relu(), tg.Conv(4, (2, 3), (2, 1), "CIRCULAR"), tg.Erf()),
    "flat": (CONV, tg.Relu(), tg.Flatten(), tg.Dense(3, W), tg.Relu()),
    "residual": (CONV, residual(tg.Relu(), CONV), tg.Relu(), CONV),
    "concatenated": (
        tg.FanOut(2),
        tg.parallel(tg.serial(CONV, tg.Relu()), tg.Dense(2, W)),
        tg.FanInConcat(-1),
        CONV,
    ),
    "product": (product(CONV, tg.Relu()), CONV, tg.Relu()),
    "norm": (CONV, tg.Relu(), CONV, tg.LayerNorm(), tg.Relu()),
}


@pytest.mark.parametrize("name", EXACT)
def test_variances_are_exact_where_no_pool_mixes_pixels(name):
    net, x = tg.serial(*EXACT[name]), images(4)
    fitted = tg.SketchedKernel(net, 8).fit(images(12, seed=1))
    found = advance(net, inputs(x, True), fitted.sketch.maps).variance[..., 0]
    for i, row in enumerate(x):
        k = tg.ExactKernel(net)(row[None], get="nngp")[0, 0]
        size = int(np.prod(k.shape)) ** 0.5
        diagonal = np.diagonal(k.reshape(round(size), -1)).reshape(found[i].shape)
        np.testing.assert_allclose(found[i], diagonal, rtol=1e-9)


@pytest.mark.parametrize("pool", [tg.AvgPool, tg.SumPool])
def test_variances_after_a_pool_stay_positive_and_near_the_exact_ones(pool):
    net = tg.serial(CONV, tg.Relu(), pool((2, 2), (2, 2)), CONV)
    x = images(6)
    fitted = tg.SketchedKernel(net, 16).fit(images(30, seed=1))
    found = advance(net, inputs(x, True), fitted.sketch.maps).variance[..., 0]
    k = tg.ExactKernel(net)(x, get="nngp")
    exact = np.asarray([np.diagonal(k[i, i].reshape(9, 9)) for i in range(6)])
    assert found.min() > 0
    assert relative(found.reshape(6, 9), exact) < 0.1


def ends(first, second):
    """Blocks of a chunk whose tail has these two halves."""
    parts = zip((first, second), HALVES, strict=True)
    head = Block(np.ones((len(first), 3)))
    return [(head, *(Block(z, label=name) for z, name in parts))]


def test_noise_is_shrunk_away_and_signal_is_kept():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 60, 40))
    signal = rng.standard_normal((60, 40))
    # 60 * 59 / 2 products estimate the ratio.
    assert shrinkage._kept(ends(*noise)) < 4 * (60 * 59 / 2) ** -0.5
    assert shrinkage._kept(ends(signal, signal)) == 1.0
    assert 0.1 < shrinkage._kept(ends(*(signal + noise))) < 0.9


def test_shrinkage_is_the_best_multiple_on_average():
    """Against the multiple that the true residual would give, over many tails."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((40, 5))
    root = np.concatenate([0.3 * root, 1.5 * np.eye(40)], axis=1)
    k, kept, best = root @ root.T, [], []
    off = ~np.eye(40, dtype=bool)
    centre = np.eye(40) - 1 / 40

    def centred(a):
        return centre @ (a * off) @ centre

    for _ in range(50):
        z = root @ rng.standard_normal((2, 45, 8)) / 16**0.5
        kept.append(shrinkage._kept(ends(*z)))
        estimate = centred(z[0] @ z[0].T + z[1] @ z[1].T)
        best.append(np.sum(estimate * centred(k)) / np.sum(estimate**2))
    spread = np.std(np.subtract(kept, best)) / 50**0.5
    # Clipping at 0 and 1 and the ratio bias it by no more than a few hundredths.
    assert abs(np.mean(kept) - np.mean(best)) < 4 * spread + 0.03


def between(k):
    """What shrinkage is for: the kernel of different inputs, centred."""
    centre = np.eye(len(k)) - 1 / len(k)
    return centre @ (k - np.diag(np.diag(k))) @ centre


def test_a_shrunk_hybrid_is_better_between_inputs_than_either_of_its_parts():
    x, test = images(80), images(60, seed=1)
    exact = tg.ExactKernel(NET)(test, get="ntk")
    errors = {}
    for method, shrink in (("nystrom", True), ("hybrid", False), ("hybrid", True)):
        found = [
            tg.SketchedKernel(NET, 32, method, s, shrink=shrink).fit(x)(test, get="ntk")
            for s in range(6)
        ]
        gaps = [relative(between(k), between(exact)) for k in found]
        errors[method, shrink] = np.mean(gaps)
    shrunk = errors.pop(("hybrid", True))
    assert shrunk < min(errors.values())


def test_landmarks_never_see_the_inputs_that_shrink_nor_those_of_the_test():
    x = images(60)
    rest, held = hold_out(x, seed=0)
    assert len(rest) == 48 and len(held) == 12
    assert len(np.unique(np.concatenate([rest, held]).reshape(60, -1), axis=0)) == 60
    other = x.copy()
    rows = [np.flatnonzero((x == h).all(axis=(1, 2, 3)))[0] for h in held]
    other[rows] = images(12, seed=9)
    first, second = (tg.SketchedKernel(NET, 16).fit(s).sketch.maps for s in (x, other))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.nngp.array, b.nngp.array)
    assert first[-1].gains != second[-1].gains


def test_small_samples_shrink_nothing():
    sketch = tg.SketchedKernel(NET, 16).fit(images(49))
    assert sketch.sketch.maps[-1].gains == (1.0, 1.0)


@pytest.mark.parametrize("settings", [{"method": "nystrom"}, {"head_frac": 1}])
def test_an_exact_diagonal_is_restored_and_nothing_else(settings):
    x = images(20)
    plain = tg.SketchedKernel(NET, 12, **settings).fit(x[:12])
    fixed = tg.SketchedKernel(NET, 12, **settings, diag_correction=True).fit(x[:12])
    exact = tg.ExactKernel(NET)(x)
    off = ~np.eye(20, dtype=bool)
    for k, without, true in zip(fixed(x), plain(x), exact, strict=True):
        np.testing.assert_allclose(np.diag(k), np.diag(true), rtol=1e-12)
        assert np.array_equal(k[off], without[off])
        assert relative(k, true) < relative(without, true)
    assert np.array_equal(fixed(x, x[:3], "ntk"), plain(x, x[:3], "ntk"))


def test_pixels_have_their_whole_block_restored():
    net = tg.serial(CONV, tg.Relu())
    x = images(3)[:, :3, :3]
    kernel = tg.SketchedKernel(net, 8, "nystrom", diag_correction=True).fit(x)
    k, exact = kernel(x, get="nngp"), tg.ExactKernel(net)(x, get="nngp")
    for i in range(3):
        np.testing.assert_allclose(k[i, i], exact[i, i], rtol=1e-12)


def test_kernel_regression_takes_the_restored_diagonal():
    x, y = images(20), np.arange(20.0)
    kernel = tg.SketchedKernel(NET, 12, "nystrom", diag_correction=True).fit(x[:12])
    model = tg.KernelRegression.fit(kernel, x, y, get="ntk", ridge=1e-3)
    posterior = tg.Posterior.fit(kernel(x, get="ntk"), y, 1e-3, "trace")
    expected = posterior.mean(kernel(images(4, seed=1), x, "ntk"))
    found = model.predict(images(4, seed=1)).mean
    np.testing.assert_allclose(found, expected, rtol=1e-8)
