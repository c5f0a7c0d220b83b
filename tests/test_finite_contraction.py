"""Orders of contraction, patch Grams and costs, on NumPy arrays."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangency.kernels.finite.contraction import contract, contract_with_itself
from tangency.kernels.finite.cost import ORDERS, Rows, Sizes, cheapest, cost, pieces
from tangency.kernels.finite.factors import (
    Convolved,
    Direct,
    Lookup,
    Outer,
    jacobian,
    measure,
)
from tangency.kernels.finite.windows import Window, patches, pixel_gram

size = st.integers(1, 3)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def brute_force(left, right, paired):
    """The kernel from Jacobian rows, ``[D, n, F, m, E]``."""
    k = np.einsum("nudfz,mudez->dnfme", jacobian(left), jacobian(right))
    if not paired:
        return k
    return np.stack([k[:, i, :, i] for i in range(k.shape[1])], axis=1)


@given(size, size, size, size, size, size, size, size, size, st.booleans())
def test_all_orders_give_the_same_kernel(n, u, d, f, b, t, i, j, m, paired):
    m = n if paired else m
    left = Outer(normal(0, n, b, t, i), normal(1, n, u, d, f, b, t, j))
    right = Outer(normal(2, m, b, 2, i), normal(3, m, u, d, 2, b, 2, j))
    want = brute_force(left, right, paired)
    for order in ("", *ORDERS):
        np.testing.assert_allclose(
            contract(left, right, paired, order), want, rtol=1e-11, atol=1e-12
        )


@given(st.integers(1, 4), st.booleans())
def test_tables_are_contracted_by_equal_ids(t, paired):
    ids = [np.random.default_rng(k).integers(-1, 3, (2, t)) for k in (0, 1)]
    left, right = (
        Lookup(x, normal(k, 2, 1, 1, 2, 1, t, 3), 3) for k, x in enumerate(ids)
    )
    want = brute_force(left, right, paired)
    for order in ORDERS:
        got = contract(left, right, paired, order)
        np.testing.assert_allclose(got, want, atol=1e-12)


def naive_patches(x, window):
    """Reference: one pixel and one tap at a time."""
    n, b, c, *spatial = x.shape
    out = []
    for place in product(*map(range, window.extents(tuple(spatial)))):
        taps = []
        for tap in product(*map(range, window.taps)):
            at = tuple(
                p * s + k * d
                for p, s, k, d in zip(
                    place, window.strides, tap, window.dilations, strict=True
                )
            )
            taps.append(x[(slice(None),) * 3 + at])
        out.append(np.stack(taps, 2).reshape(n, b, -1))
    return np.stack(out, 2)


windows = st.integers(1, 2).flatmap(
    lambda dims: st.tuples(
        *(st.tuples(*[st.integers(1, top)] * dims) for top in (3, 3, 2))
    )
)


@given(windows, st.booleans())
def test_pixel_gram_equals_the_gram_of_patches(sizes, paired):
    window = Window(*sizes)
    spatial = tuple(
        (k - 1) * d + 1 + extra
        for k, d, extra in zip(window.taps, window.dilations, (2, 3), strict=False)
    )
    x, y = normal(0, 2, 2, 3, *spatial), normal(1, 2, 2, 3, *spatial)
    np.testing.assert_allclose(patches(x, window), naive_patches(x, window))
    p, q = naive_patches(x, window), naive_patches(y, window)
    formula = "nbti,nbsi->bnts" if paired else "nbti,mbsi->bnmts"
    want = np.einsum(formula, p, q)
    got = pixel_gram(x, y, window, paired)
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 256])
@pytest.mark.parametrize("paired", [False, True])
def test_convolutions_agree_with_a_bias(channels, paired):
    # Few channels take patches, many take the Gram of pixels.
    window = Window((3, 2), (1, 1), (1, 1))
    x, y = normal(0, 2, 1, channels, 5, 5), normal(1, 2, 1, channels, 5, 5)
    assert window.prefers_pixels(x.shape, y.shape) == (channels == 256)
    left, right = (
        Convolved(z, normal(k, 2, 1, 1, 2, 1, 12, 3), window, normal(k, 2))
        for k, z in enumerate((x, y))
    )
    want = brute_force(left, right, paired)
    for order in ORDERS:
        got = contract(left, right, paired, order)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def test_the_model_picks_the_order_that_theory_does():
    rows = Rows(n=16, m=16, u=1, d=1, f=10, e=10)
    # One position: never the Jacobian (2206.08720, table 1).
    assert cheapest(Sizes(1, 1, 1, 512, 512), rows, 4) == "two_gram"
    # Many positions and few weights: the Jacobian.
    assert cheapest(Sizes(1, 1024, 1024, 32, 32), rows, 4) == "grad"
    # Few positions and many weights: the Gram of positions.
    assert cheapest(Sizes(1, 64, 64, 2304, 256), rows, 4) == "gram"


@given(size, size, size, size, size, size, size)
def test_predicted_operations_count_multiplications_and_additions(n, f, t, i, j, m, e):
    rows, z = Rows(n, m, 1, 1, f, e), Sizes(1, t, t, i, j)
    weights = i * j
    assert cost("grad", z, rows).operations == 2 * weights * (
        n * f * t + m * e * t + n * f * m * e
    )
    assert cost("gram", z, rows).operations == 2 * n * m * t * (
        t * i + t * e * j + e * f * j
    )


def test_measure_reads_the_sizes_of_a_factor():
    left = Direct(normal(0, 2, 3, 4, 5, 6))
    sizes, rows = measure(left, left, False)
    assert sizes.direct and sizes.i == 6
    assert (rows.n, rows.u, rows.d, rows.f) == (2, 3, 4, 5)


@pytest.mark.parametrize("t, i, j", [(1, 900, 40), (9, 300, 200), (300, 20, 30)])
def test_symmetric_kernels_are_computed_in_blocks(t, i, j):
    # Sizes for which each of the three orders is the cheapest.
    factor = Outer(normal(0, 5, 1, t, i), normal(1, 5, 2, 1, 20, 1, t, j))
    got = contract_with_itself(factor)
    np.testing.assert_allclose(got, contract(factor, factor), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got, np.transpose(got, (0, 3, 4, 1, 2)), atol=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_jacobian_rows_are_formed_in_pieces(monkeypatch, paired):
    left = Outer(normal(0, 2, 2, 3, 4), normal(1, 2, 1, 1, 3, 2, 3, 48))
    right = Outer(normal(2, 2, 2, 5, 4), normal(3, 2, 1, 1, 3, 2, 5, 48))
    want = contract(left, right, paired, "grad")
    monkeypatch.setattr("tangency.kernels.finite.cost.LARGEST_PIECE", 1000)
    sizes, rows = measure(left, right, paired)
    assert pieces(sizes, rows) == 4
    assert cost("grad", sizes, rows).held < 2 * 2 * 3 * 2 * 4 * 48 / 3
    got = contract(left, right, paired, "grad")
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
