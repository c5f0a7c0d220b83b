"""Inner products by panels are those of one product."""

import numpy as np
import pytest

import tangency as tg
from tangency.kernels.exact import products


@pytest.mark.parametrize("shape", [(7, 3), (13, 1), (2, 12, 5)])
def test_panels_have_the_products_of_all_pairs(monkeypatch, shape):
    monkeypatch.setattr(products, "PANEL", 4)
    x = np.random.default_rng(0).standard_normal(shape)
    k = products.inner_products(x, x)
    assert np.array_equal(k, k.swapaxes(-1, -2))
    np.testing.assert_allclose(k, np.einsum("...nd,...md->...nm", x, x), rtol=1e-14)


@pytest.mark.parametrize("pool", [tg.Identity(), tg.GlobalAvgPool()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_do_not_depend_on_panels(monkeypatch, dtype, pool):
    """Networks that need covariances of equal pixels only, and of all of them."""
    net = tg.serial(tg.Conv(1, (3, 3)), tg.Relu(), pool, tg.Flatten(), tg.Dense(1))
    x = np.random.default_rng(0).standard_normal((9, 4, 4, 3)).astype(dtype)
    kernel = tg.ExactKernel(net, engine="exact")
    whole = kernel(x, get="ntk")
    monkeypatch.setattr(products, "PANEL", 2)
    found = kernel(x, get="ntk")
    assert found.dtype == dtype
    # Products of other sizes round differently, which moves angles near 0 by its root.
    off = ~np.eye(9, dtype=bool)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(found[off], whole[off], rtol=tolerance)
    np.testing.assert_allclose(found, whole, rtol=1e-7)
