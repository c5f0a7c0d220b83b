"""What random features promise: no bias, errors like m^{-1/2}, Nystrom from below."""

import numpy as np
import pytest

import tangency as tg
from tangency.sketch import nonlinearity
from tangency.sketch.coefficients import coefficients

W = 2**0.5
# Two-sided 1e-3 for all pairs of 12 inputs together (Bonferroni).
LARGEST_Z = 4.4
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


def z_scores(net, x, exact, **settings):
    """(mean - exact) / standard error of every entry of both kernels."""
    draws = {"nngp": [], "ntk": []}
    for seed in range(DRAWS):
        sketch = tg.SketchedKernel(net, seed=1000 + seed, **settings)
        if settings.get("method", "hybrid") == "hybrid":
            sketch = sketch.fit(x[6:])
        for name, k in sketch(x)._asdict().items():
            draws[name].append(k)
    z = []
    for name, k in exact._asdict().items():
        found = np.asarray(draws[name])
        error = found.std(axis=0) / DRAWS**0.5
        # An entry without variance must be right to rounding.
        z.append((found.mean(axis=0) - k) / np.maximum(error, 1e-9 * np.abs(k).max()))
    return np.abs(np.asarray(z))


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
    z = z_scores(net, x, tg.ExactKernel(net)(x), **SETTINGS[name])
    assert z.max() < LARGEST_Z


@pytest.mark.parametrize("f", [tg.Relu(), tg.Cos(1.0, 0.8, 1.0)], ids=["Relu", "Cos"])
def test_polysketch_is_unbiased_for_the_series_that_it_sketches(f):
    # The coefficients of a cosine are of both signs.
    net, x, degree = layer(f), points(), 3
    settings = {"method": "polysketch", "dim": 12, "degree": degree}
    assert z_scores(net, x, series_kernel(f, x, degree), **settings).max() < LARGEST_Z


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
    z = z_scores(net, x, tg.ExactKernel(net)(x), dim=6, method="random")
    assert z.max() > 2 * LARGEST_Z


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
    f, x = tg.Relu(), points(12)
    net, degree = layer(f), 4
    exact = tg.ExactKernel(net)(x, get="ntk")
    if method == "polysketch":
        exact = series_kernel(f, x, degree).ntk
    extra = {"degree": degree} if method == "polysketch" else {}
    # Random features below the dimensions at which low degrees are exact.
    dims = (8, 16) if method == "random" else (32, 64, 128)
    errors = rms(net, x, exact, dims, 30, method=method, **extra)
    slope = np.polyfit(np.log(dims), np.log(errors), 1)[0]
    assert -0.6 < slope < -0.4


def pixels_net(depth=1):
    conv = tg.Conv(4, (3, 3), padding="SAME", W_std=W, b_std=0.2)
    return tg.serial(*(conv, tg.Relu()) * depth, tg.GlobalAvgPool(), tg.Dense(1))


def images(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6, 6, 1))
    return (x + np.roll(x, 1, 1) + np.roll(x, 1, 2)) / 3**0.5


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


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


def test_nystrom_of_vectors_is_near_the_best_approximation_of_its_rank():
    net = layer(tg.Relu())
    x = np.random.default_rng(0).standard_normal((150, 8)) @ np.diag(
        0.7 ** np.arange(8)
    )
    K = tg.ExactKernel(net)(x, get="ntk")
    values = np.linalg.eigvalsh(K)[::-1]
    for dim in (8, 16, 32):
        found = tg.SketchedKernel(net, dim, "nystrom").fit(x)(x, get="ntk")
        assert np.trace(K - found) < 3 * values[dim:].sum()


def test_polysketch_features_are_a_subspace_embedding():
    """(1 - e) (K + r) <= K^ + r <= (1 + e) (K + r) with e < 1/2, for 10 seeds."""
    x = np.random.default_rng(0).standard_normal((30, 6))
    net = layer(tg.Monomial(2))
    exact = tg.ExactKernel(net)(x, get="nngp")
    for seed in range(10):
        sketch = tg.SketchedKernel(net, 1024, "polysketch", seed, degree=2)
        values = spectrum(sketch(x, get="nngp"), exact, 1e-1)
        assert 0.5 < values.min() and values.max() < 1.5


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_errors_of_composed_layers_stay_small(depth):
    net, x, test = pixels_net(depth), images(40), images(12, seed=1)
    exact = tg.ExactKernel(net)(test, get="ntk")
    errors = [
        relative(tg.SketchedKernel(net, 64, seed=s).fit(x)(test, get="ntk"), exact)
        for s in range(5)
    ]
    assert np.mean(errors) < 0.02 * depth


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
