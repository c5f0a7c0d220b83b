"""Kernel matrices leave for other tools as Zarr arrays."""

import sys

import numpy as np
import pytest

import tangency as tg

zarr = pytest.importorskip("zarr", reason="needs the extra 'zarr'")
KERNEL = tg.ExactKernel(tg.serial(tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(1)))


def inputs(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.mark.parametrize("m", [None, 5])
def test_a_store_is_written_as_a_zarr_array(tmp_path, m):
    x2 = None if m is None else inputs(m, 1)
    stored = tg.compute(KERNEL, inputs(11), x2, tile=4, path=tmp_path / "k.tiles")
    stored.to_zarr(tmp_path / "k.zarr")
    array = zarr.open_array(str(tmp_path / "k.zarr"), mode="r")
    np.testing.assert_array_equal(array[:], stored.to_numpy())
    assert array.dtype == stored.dtype and array.chunks[0] == 4
    assert array.attrs["symmetric"] == (m is None) and array.attrs["name"] == "ntk"
    assert array.attrs["kernel"]["class"].endswith("ExactKernel")
    assert {p.name for p in tmp_path.iterdir()} == {"k.tiles", "k.zarr"}


def test_a_kernel_without_a_matrix_is_written_too(tmp_path):
    lazy = tg.KernelMatrix(KERNEL, inputs(7), tile=3)
    lazy.to_zarr(tmp_path / "k.zarr")
    array = zarr.open_array(str(tmp_path / "k.zarr"), mode="r")
    np.testing.assert_allclose(array[:], KERNEL(inputs(7), get="ntk"), rtol=1e-12)


def test_nothing_is_left_of_an_export_that_broke(tmp_path):
    stored = tg.compute(KERNEL, inputs(9), tile=4, path=tmp_path / "k.tiles")
    (tmp_path / "k.tiles" / "ntk-1-2.npy").unlink()
    with pytest.raises(tg.MissingTileError, match="ntk-1-2"):
        stored.to_zarr(tmp_path / "k.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["k.tiles"]


def test_nothing_is_written_over(tmp_path):
    with pytest.raises(FileExistsError, match="choose another name"):
        tg.KernelMatrix(KERNEL, inputs(3)).to_zarr(tmp_path)


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tangency.kernels.matrix.zarr", False)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ModuleNotFoundError, match=r"tangency\[zarr\]"):
        tg.KernelMatrix(KERNEL, inputs(3)).to_zarr(tmp_path / "k.zarr")
