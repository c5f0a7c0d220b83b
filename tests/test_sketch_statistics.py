"""What random features promise: no bias, errors like m^{-1/2}, Nystrom from below."""

import numpy as np
import pytest
from sketch_cases import images, relative
from unbiased import check_unbiased

import tangency as tg
from tangency.sketch import nonlinearity
from tangency.sketch.coefficients import coefficients
from tangency.sketch.fitting import fit_maps
from tangency.sketch.layerwise import Layerwise
from tangency.sketch.methods import landmark_maker

W = 2**0.5
# Estimators of high degree have heavy tails: fewer draws have no Gaussian mean.
DRAWS = 500


def points(d=5):
    """12 inputs: generic, opposite, orthogonal, parallel of another norm, zero."""
    x = np.random.default_rng(7).standard_normal((12, d))
    x[1], x[2], x[3] = -x[0], 2.0 * x[0], 0.0
    x[4], x[5] = np.eye(d)[0], np.eye(d)[1]
    return x


def layer(f):
    return tg.serial(tg.Dense(4, W, 0.3), f, tg.Dense(1))


def drawn(net, x, **settings):
    """Both kernels by ``DRAWS`` sketches, ``[DRAWS, 2, n, n]``."""
    draws = []
    for seed in range(DRAWS):
        sketch = tg.SketchedKernel(net, seed=1000 + seed, **settings)
        if settings.get("method", "hybrid") == "hybrid":
            sketch = sketch.fit(x[6:])
        draws.append(sketch(x))
    return draws


SETTINGS = {
    "hybrid": {"dim": 12, "head_frac": 0.34, "shrink": False},
    "random": {"dim": 9, "method": "random"},
    "random-degree-1": {"dim": 24, "method": "random"},
    "random-degree-2": {"dim": 60, "method": "random"},
}
ACTIVATIONS = (tg.Relu(), tg.Abs(), tg.Gelu(), tg.Erf(), tg.ExpNormalized())
CASES = [("hybrid", f) for f in (tg.Relu(), tg.Gelu(), tg.ExpNormalized())]
CASES += [("random", f) for f in ACTIVATIONS]
CASES += [("random-degree-1", f) for f in (tg.Relu(), tg.Erf())]
CASES += [("random-degree-2", f) for f in (tg.Relu(), tg.Gelu())]


@pytest.mark.parametrize("name, f", CASES, ids=repr)
def test_one_layer_of_random_features_is_unbiased(name, f):
    net, x = layer(f), points()
    check_unbiased(drawn(net, x, **SETTINGS[name]), np.asarray(tg.ExactKernel(net)(x)))


@pytest.mark.parametrize("f", [tg.Relu(), tg.Cos(1.0, 0.8, 1.0)], ids=["Relu", "Cos"])
def test_polysketch_is_unbiased_for_the_series_that_it_sketches(f):
    # The coefficients of a cosine are of both signs.
    net, x, degree = layer(f), points(), 3
    settings = {"method": "polysketch", "dim": 12, "degree": degree}
    exact = np.asarray(series_kernel(f, x, degree))
    check_unbiased(drawn(net, x, **settings), exact)


def series_kernel(f, x, degree):
    """Both kernels of ``layer(f)`` with the series of f cut after ``degree``."""
    K = tg.ExactKernel(tg.serial(tg.Dense(4, W, 0.3)))(x, get="nngp")
    s = np.sqrt(np.diag(K))
    c, d = coefficients(f, s, degree)
    rho = K / np.outer(s, s)
    powers = rho[..., None] ** np.arange(degree + 1)
    nngp = np.einsum("il,jl,ijl->ij", c, c, powers)
    k_dot = np.einsum("il,jl,ijl->ij", d, d, powers)
    return tg.Kernels(nngp, nngp + K * k_dot)


def test_a_biased_estimator_fails_the_test(monkeypatch):
    """The control: directions of constant norm are wrong for GELU."""

    def constant_norms(rng, d, m, constant, paired):
        return directions(rng, d, m, True, paired)

    directions = nonlinearity.directions
    monkeypatch.setattr(nonlinearity, "directions", constant_norms)
    net, x = layer(tg.Gelu()), points(2)
    draws = drawn(net, x, dim=6, method="random")
    with pytest.raises(AssertionError):
        check_unbiased(draws, np.asarray(tg.ExactKernel(net)(x)))


def rms(net, x, exact, dims, seeds, **settings):
    errors = []
    for dim in dims:
        found = [
            tg.SketchedKernel(net, dim, seed=seed, **settings).fit(x)(x, get="ntk")
            for seed in range(seeds)
        ]
        errors.append(np.sqrt(np.mean((np.asarray(found) - exact) ** 2)))
    return np.asarray(errors)


@pytest.mark.parametrize("method", ["random", "polysketch"])
def test_errors_of_oblivious_features_fall_like_one_over_the_root_of_m(method):
    # Of far more inputs than rows are drawn, as those are drawn without replacement.
    f, x = tg.Relu(), points(240)
    net, degree = layer(f), 4
    exact = tg.ExactKernel(net)(x, get="ntk")
    if method == "polysketch":
        exact = series_kernel(f, x, degree).ntk
    extra = {"degree": degree} if method == "polysketch" else {}
    # Random features below the dimensions at which low degrees are exact.
    dims = (8, 16, 32, 64) if method == "random" else (32, 64, 128, 256)
    errors = rms(net, x, exact, dims, 24, method=method, **extra)
    slope = np.polyfit(np.log(dims), np.log(errors), 1)[0]
    assert -0.6 < slope < -0.4


def pixels_net(depth=1):
    conv = tg.Conv(4, (3, 3), padding="SAME", W_std=W, b_std=0.2)
    return tg.serial(*(conv, tg.Relu()) * depth, tg.GlobalAvgPool(), tg.Dense(1))


def spectrum(sketched, exact, ridge):
    """Eigenvalues of (K + r)^{-1/2} (K^ + r) (K + r)^{-1/2}, r in units of tr K / n."""
    shift = ridge * np.trace(exact) / len(exact) * np.eye(len(exact))
    L = np.linalg.cholesky(exact + shift)
    half = np.linalg.solve(L, np.linalg.solve(L, sketched + shift).T)
    return np.linalg.eigvalsh((half + half.T) / 2)


def test_nystrom_features_of_one_layer_stay_below_the_kernel_and_grow():
    net, x, test = pixels_net(), images(20), images(15, seed=1)
    exact = tg.ExactKernel(net)(test)
    last = [np.inf, np.inf]
    for dim in (8, 16, 32, 64):
        got = tg.SketchedKernel(net, dim, "nystrom").fit(x)(test)
        for i in range(2):
            values = spectrum(got[i], exact[i], 1e-3)
            assert values.max() <= 1 + 1e-6
            gap = np.trace(exact[i] - got[i])
            assert 0 <= gap < last[i]
            last[i] = gap


def test_nystrom_of_vectors_is_as_near_as_its_theorem_says():
    """Theorem 5.1 of 2207.06503 with epsilon = 1: k >= r + r log(1 / eta) pivots leave
    at most twice what the best approximation of rank r leaves, eta of the trace."""
    net = layer(tg.Relu())
    x = np.random.default_rng(0).standard_normal((150, 8)) @ np.diag(
        0.7 ** np.arange(8)
    )
    # Pivots are drawn by the sum of both kernels, each divided by its trace.
    exact = [k / np.trace(k) for k in tg.ExactKernel(net)(x)]
    values = np.linalg.eigvalsh(sum(exact))[::-1]
    eta = np.asarray([values[r:].sum() / values.sum() for r in range(1, 100)])
    needed = np.arange(1, 100) * (1 - np.log(eta))
    for dim in (8, 16, 32):
        best = eta[np.flatnonzero(needed <= dim)[-1]] * values.sum()
        left = []
        for seed in range(20):
            found = tg.SketchedKernel(net, dim, "nystrom", seed).fit(x)(x)
            traces = zip(found, tg.ExactKernel(net)(x), strict=True)
            left.append(sum(1 - np.trace(f) / np.trace(k) for f, k in traces))
        assert np.mean(left) < 2 * best


def test_polysketch_features_are_a_subspace_embedding():
    """(1 - e) (K + r) <= K^ + r <= (1 + e) (K + r) for nine of ten seeds.

    A row of an SRHT has fourth moments of at most 2 |x|^4, so a product of two has 4,
    and rows are not positively correlated: k = m / 4 rows of degree 2 and their
    compression to m / 2 have Var |S z|^2 <= (3 / k + 2 / m) |z|^4 = 14 / m |z|^4, up to
    m^{-2}. By the lemma of approximate matrix products (Ahle et al. 2020),
    D = (K + r)^{-1/2} (K^ - K) (K + r)^{-1/2} has E |D|_F^2 <= 14 s^2 / m, with s the
    statistical dimension, and Markov's inequality gives e.
    """
    x = np.random.default_rng(0).standard_normal((30, 3))
    net, m, ridge, seeds = layer(tg.Monomial(2)), 4096, 1.0, 10
    exact = tg.ExactKernel(net)(x, get="nngp")
    shifted = exact + ridge * np.trace(exact) / len(exact) * np.eye(len(exact))
    s = np.trace(np.linalg.solve(shifted, exact))
    mean = 14 * s**2 / m
    e = (10 * mean) ** 0.5
    assert e < 1
    squares, inside = [], []
    for seed in range(seeds):
        sketch = tg.SketchedKernel(net, m, "polysketch", seed, degree=2)
        values = spectrum(sketch(x, get="nngp"), exact, ridge)
        squares.append(np.sum((values - 1) ** 2))
        inside.append(1 - e <= values.min() and values.max() <= 1 + e)
    assert np.mean(squares) < mean
    assert np.mean(inside) >= 0.9


def composed(net, x, dims, seed):
    """The NTK of inputs x by a sketch with ``dims`` features after each activation: as
    many as x has pixels are landmarks, which make the layer exact for x; otherwise half
    of them are, and the others random."""
    sizes = iter(dims)

    def make(stop, candidates, rng):
        dim = next(sizes)
        head = dim if dim == x[..., 0].size else dim // 2
        return landmark_maker(dim, head)(stop, candidates, rng)

    maps = fit_maps(net, x, make, max(dims), seed, x.size, 0)
    (z,) = Layerwise(net, max(dims), maps).features(x, ("ntk",))
    return z @ z.T


@pytest.mark.parametrize("depth", [2, 4])
def test_errors_of_composed_layers_add_up_at_most(depth):
    """To first order the error of all layers is the sum of those that each would make
    among exact ones, so that its norm is at most the sum of theirs."""
    net, x = pixels_net(depth), images(6)
    exact, all_pixels = tg.ExactKernel(net)(x, get="ntk"), x.size

    def error(dims):
        found = [relative(composed(net, x, dims, seed), exact) for seed in range(5)]
        return np.mean(np.square(found)) ** 0.5

    assert error([all_pixels] * depth) < 1e-6
    alone = [
        error([64 if i == layer else all_pixels for i in range(depth)])
        for layer in range(depth)
    ]
    together = error([64] * depth)
    # The second order is at most the product of two sums.
    assert max(alone) / 4 < together < sum(alone) * (1 + sum(alone))


def test_the_hybrid_is_better_than_random_features_and_polysketch_at_equal_dim():
    net, x, test = pixels_net(depth=2), images(40), images(20, seed=1)
    exact = tg.ExactKernel(net)(test, get="ntk")
    errors = {
        method: np.mean(
            [
                relative(
                    tg.SketchedKernel(net, 64, method, s).fit(x)(test, get="ntk"), exact
                )
                for s in range(5)
            ]
        )
        for method in ("hybrid", "random", "polysketch")
    }
    assert 3 * errors["hybrid"] < min(errors["random"], errors["polysketch"])
