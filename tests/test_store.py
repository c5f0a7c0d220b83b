"""Kernel matrices on disk: what is written, read, refused, mended and extended."""

import json
import os
import shutil
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tangency as tg
from tangency.kernels.matrix.description import describe, rebuild

NET = tg.serial(tg.Dense(8, W_std=1.4, b_std=0.1), tg.Relu(), tg.Dense(1))
KERNEL = tg.ExactKernel(NET)
BOTH = ("nngp", "ntk")


def inputs(n, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(dtype)


@dataclass
class Counting:
    """A kernel that counts its pairs, and is equal to others of the same network."""

    kernel: tg.ExactKernel = KERNEL

    def __post_init__(self):
        self.pairs = 0

    def __call__(self, x1, x2=None, get=BOTH):
        self.pairs += len(x1) * len(x1 if x2 is None else x2)
        return self.kernel(x1, x2, get)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "k.tiles"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished store of 23 inputs and two kernels, not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "k.tiles"
    tg.compute(KERNEL, inputs(23), get=BOTH, tile=5, path=folder)
    return folder


@pytest.fixture
def copied(whole, path):
    shutil.copytree(whole, path)
    return path


# Every tile is flushed to disk.
@settings(max_examples=20)
@given(n=st.integers(1, 12), m=st.integers(0, 12), tile=st.integers(1, 13))
def test_a_store_holds_the_matrix(tmp_path_factory, n, m, tile):
    folder = tmp_path_factory.mktemp("any") / "k.tiles"
    x1, x2 = inputs(n), inputs(m, 1) if m else None
    stored = tg.compute(KERNEL, x1, x2, BOTH, tile, path=folder)
    memory = tg.compute(KERNEL, x1, x2, BOTH, tile)
    for name in BOTH:
        lazy, k = getattr(stored, name), getattr(memory, name)
        assert lazy.shape == k.shape and lazy.dtype == k.dtype and not lazy.missing
        np.testing.assert_array_equal(lazy.to_numpy(), k)
        np.testing.assert_array_equal(np.asarray(tg.open_matrix(folder, name)), k)
    assert tg.verify_matrix(folder) == {}


def keys(n):
    whole_numbers = st.integers(-n, n - 1)
    lists = st.lists(whole_numbers, min_size=1, max_size=6).map(np.asarray)
    masks = st.lists(st.booleans(), min_size=n, max_size=n).map(np.asarray)
    return st.one_of(whole_numbers, st.slices(n), lists, masks)


@given(rows=keys(23), columns=keys(23))
def test_indexing_is_that_of_the_array(whole, rows, columns):
    lazy = tg.open_matrix(whole, "ntk")
    k = lazy.to_numpy()
    np.testing.assert_array_equal(lazy[rows, columns], k[rows][..., columns])
    np.testing.assert_array_equal(lazy[rows], k[rows])


@pytest.mark.parametrize("symmetric", [True, False])
def test_products_and_diagonals_are_those_of_the_array(path, symmetric):
    x1, x2 = inputs(17), None if symmetric else inputs(11, 1)
    lazy = tg.compute(KERNEL, x1, x2, tile=4, path=path)
    k, rng = lazy.to_numpy(), np.random.default_rng(2)
    for width in ((), (3,)):
        right = rng.normal(size=(k.shape[1], *width))
        left = rng.normal(size=(k.shape[0], *width)).T
        np.testing.assert_allclose(lazy @ right, k @ right, rtol=1e-12)
        np.testing.assert_allclose(left @ lazy, left @ k, rtol=1e-12)
    np.testing.assert_array_equal(lazy.diagonal(), np.diagonal(k))
    assert len(lazy) == 17 and lazy.nbytes == k.nbytes and "float64" in repr(lazy)
    with pytest.raises(ValueError, match=r"a factor has shape \(5,\)"):
        lazy @ np.ones(5)
    with pytest.raises(IndexError, match="rows: index 99"):
        lazy[99]
    with pytest.raises(IndexError, match="expected rows, or rows and columns"):
        lazy[None]


def test_reading_maps_tiles_and_never_changes_them(whole):
    lazy = tg.open_matrix(whole, "ntk")
    tile = lazy.tile(0, 1)
    assert isinstance(tile, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tile[0, 0] = 1
    # Any reader of .npy reads a tile.
    np.testing.assert_array_equal(np.load(whole / "ntk-0-1.npy"), tile)


def test_slicing_takes_no_more_memory_than_the_slice(path):
    def linear(x1, x2=None, get="ntk"):
        return x1 @ (x1 if x2 is None else x2).T

    tg.compute(linear, inputs(1000), tile=100, path=path)
    tracemalloc.start()
    try:
        rows = tg.open_matrix(path)[500:510]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows.shape == (10, 1000)
    assert peak < 2**18 < 1000 * 1000 * 8 / 30


def test_what_is_there_is_not_computed_again(path):
    first, second = Counting(), Counting()
    k = tg.compute(first, inputs(23), get=BOTH, tile=5, path=path)
    tg.compute(second, inputs(23), get=BOTH, path=path)
    assert first.pairs > 0 and second.pairs == 0
    os.remove(path / "nngp-1-3.npy")
    again = tg.compute(second, inputs(23), get="nngp", path=path)
    assert second.pairs == np.prod(k.nngp.tile(1, 3).shape)
    np.testing.assert_array_equal(again.to_numpy(), k.nngp.to_numpy())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:], "checksum is wrong"),
        (lambda b: b[:-1], "length is wrong"),
        (lambda b: b"", "is no"),
        (lambda b: b[:-20] + bytes([b[-20] ^ 1]) + b[-19:], "another kernel"),
    ],
)
def test_a_damaged_tile_is_found_and_mended(copied, damage, said):
    file = copied / "ntk-1-2.npy"
    good = file.read_bytes()
    file.write_bytes(damage(good))
    found = tg.verify_matrix(copied)
    assert list(found) == ["ntk-1-2.npy"] and said in found["ntk-1-2.npy"]
    tg.resume_matrix(copied)
    assert file.read_bytes() == good


def test_tiles_of_other_inputs_are_not_mistaken_for_ours(copied):
    shutil.copy(copied / "ntk-0-3.npy", copied / "ntk-0-1.npy")
    with pytest.raises(tg.MissingTileError, match="rows 0:4, columns 4:9.*another"):
        tg.open_matrix(copied, "ntk").to_numpy()


def test_a_missing_tile_is_named(copied):
    os.remove(copied / "ntk-2-3.npy")
    lazy = tg.open_matrix(copied, "ntk")
    assert lazy.missing == [(2, 3)]
    assert lazy[0, 0] > 0
    with pytest.raises(tg.MissingTileError, match="ntk-2-3.*not computed.*resume"):
        lazy[10]


def test_new_rows_extend_a_matrix_at_their_own_cost(path):
    x, new = inputs(23), inputs(8, 1)
    count = Counting()
    old = tg.compute(count, x, get=BOTH, tile=5, path=path)
    count.pairs = 0
    longer = old.ntk.extend(new, count)
    assert count.pairs <= 8 * (23 + 8)
    together = np.concatenate([x, new])
    # Blocks are cut elsewhere, and BLAS sums in another order.
    np.testing.assert_allclose(longer.to_numpy(), KERNEL(together, get="ntk"), 1e-7)
    assert old.ntk.shape == (23, 23) and tg.verify_matrix(path) == {}
    assert tg.compute(count, together, path=path).shape == (31, 31)
    twice = tg.open_matrix(path, "nngp").extend(new[:1], count)
    assert twice.shape == (32, 32)


def test_new_rows_extend_a_matrix_between_two_sets(path):
    x1, x2, new = inputs(7), inputs(9, 1), inputs(4, 2)
    longer = tg.compute(KERNEL, x1, x2, tile=4, path=path).extend(new)
    expected = KERNEL(np.concatenate([x1, new]), x2, "ntk")
    np.testing.assert_allclose(longer.to_numpy(), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"rows has shape \(4, 2\)"):
        longer.extend(new[:, :2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kernel": tg.ExactKernel(tg.serial(tg.Dense(8, 1.5, 0.1), tg.Relu(),
                                             tg.Dense(1)))}, "W_std is 1.5, not 1.4"),
        ({"x1": inputs(23) + 1}, r"x1 has other numbers in rows 0:4"),
        ({"x1": inputs(22)}, r"shape is \(22, 22\), not \(23, 23\).*extend"),
        ({"x1": inputs(23, dtype=np.float32)}, "dtype of the inputs is <f4"),
        ({"x2": inputs(23)}, "symmetric"),
    ],
)  # fmt: skip
def test_a_store_of_another_matrix_is_refused(whole, change, said):
    arguments = {"kernel": KERNEL, "x1": inputs(23), **change}
    with pytest.raises(tg.StoreMismatchError, match=said):
        tg.compute(**arguments, path=whole)


def test_kernels_that_a_store_lacks_are_refused(path):
    tg.compute(KERNEL, inputs(5), get="ntk", path=path)
    with pytest.raises(tg.StoreMismatchError, match="get asks for .*nngp"):
        tg.compute(KERNEL, inputs(5), get=BOTH, path=path)
    with pytest.raises(ValueError, match="holds ntk"):
        tg.open_matrix(path, "nngp")
    with pytest.raises(ValueError, match="tile is 2, but the store"):
        tg.compute(KERNEL, inputs(5), tile=2, path=path)


def test_places_that_hold_no_store_are_refused(tmp_path):
    x = inputs(4)
    with pytest.raises(FileNotFoundError, match="holds no tile store"):
        tg.open_matrix(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        tg.compute(KERNEL, x, path=tmp_path / "no" / "k.tiles")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file"):
        tg.compute(KERNEL, x, path=tmp_path / "file")
    with pytest.raises(FileExistsError, match="holds 'file' and is no tile"):
        tg.compute(KERNEL, x, path=tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="is no manifest"):
        tg.open_matrix(tmp_path)


def test_damaged_inputs_are_refused_and_never_unpickled(copied):
    file = copied / json.loads((copied / "manifest.json").read_text())["x1"][0]
    good = file.read_bytes()
    os.remove(copied / "ntk-0-0.npy")
    np.save(file, np.asarray([{}], dtype=object))
    with pytest.raises(ValueError, match="inputs-.*cannot be read"):
        tg.resume_matrix(copied)
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ValueError, match="x1 .* not those of the manifest"):
        tg.resume_matrix(copied)
    assert not (copied / "ntk-0-0.npy").exists()


@pytest.mark.parametrize(
    "net",
    [
        NET,
        tg.serial(tg.Conv(4, (3, 3), b_std=0.1), tg.Gelu(), tg.GlobalAvgPool()),
        tg.serial(
            tg.FanOut(2),
            tg.parallel(tg.Identity(), tg.serial(tg.Dense(3), tg.Erf())),
            tg.FanInSum(),
        ),
    ],
)
def test_a_kernel_is_made_again_from_its_description(net):
    kernel = tg.ExactKernel(net)
    assert rebuild(json.loads(json.dumps(describe(kernel)))) == kernel


def test_descriptions_tell_functions_and_arrays_apart():
    def make(c):
        return lambda x1, x2=None, get="ntk": c * x1 @ x1.T

    assert describe(make(1)) == describe(make(1)) != describe(make(2))
    arrays = [np.arange(3.0), np.arange(3.0) + 1]
    assert describe(arrays[0]) != describe(arrays[1])
    assert describe(np.float64(2)) == describe(np.asarray(2.0)) == 2.0
    with pytest.raises(ValueError, match="is no layer or kernel of tangency"):
        rebuild(describe(make(1)))
    with pytest.raises(ValueError, match="is no layer or kernel"):
        rebuild({"class": "os.system", "command": "true"})


def test_a_store_whose_kernel_is_a_function_needs_it_again(path):
    def kernel(x1, x2=None, get="ntk"):
        return x1 @ (x1 if x2 is None else x2).T

    tg.compute(kernel, inputs(9), tile=3, path=path)
    os.remove(path / "ntk-0-1.npy")
    with pytest.raises(ValueError, match="pass the kernel it was made with"):
        tg.resume_matrix(path)
    with pytest.raises(tg.StoreMismatchError, match="kernel is not the one"):
        tg.resume_matrix(path, KERNEL)
    x = inputs(9)
    resumed = tg.resume_matrix(path, kernel)
    np.testing.assert_allclose(resumed.to_numpy(), x @ x.T, rtol=1e-12, atol=1e-14)


def test_any_array_library_fills_a_store(path, xp):
    x = xp.asarray(inputs(4).tolist(), dtype=xp.float32)
    stored = tg.compute(KERNEL, x, path=path)
    assert stored.dtype == np.float32
    expected = tg.compute(KERNEL, inputs(4, dtype=np.float32))
    # Engines round inner products in their own way, and some are near zero.
    np.testing.assert_allclose(stored.to_numpy(), expected, rtol=1e-6, atol=1e-7)


def test_nan_in_a_tile_is_named_and_not_written(path):
    def kernel(x1, x2=None, get="ntk"):
        k = x1 @ (x1 if x2 is None else x2).T
        k[np.abs(k - 12.0) < 1e-9] = np.nan
        return k

    x = np.asarray([[1.0], [1.0], [3.0], [4.0]])
    with pytest.raises(ValueError, match=r"rows 2:4 and columns 2:4.*at \(2, 3\)"):
        tg.compute(kernel, x, tile=2, path=path)
    assert tg.open_matrix(path).missing == [(1, 1)]


def test_kernels_whose_dtype_changes_are_refused_and_nothing_is_lost(path):
    def kernel(x1, x2=None, get="ntk"):
        k = x1 @ (x1 if x2 is None else x2).T
        return k.astype(np.float32) if len(k) > 2 else k

    with pytest.raises(TypeError, match="tile ntk-0-0 .* dtype .* may not change"):
        tg.compute(kernel, inputs(8), tile=4, path=path)
    assert len(tg.open_matrix(path).missing) == 3

    def mixed(x1, x2=None, get=BOTH):
        k = KERNEL(x1, x2, BOTH)
        return tg.Kernels(k.nngp, k.ntk.astype(np.float32))

    with pytest.raises(TypeError, match="have dtypes .*, expected one"):
        tg.compute(mixed, inputs(8), get=BOTH, path=path.with_name("other"))


def test_rows_of_another_dtype_do_not_extend_a_store(copied):
    lazy = tg.open_matrix(copied, "ntk")
    with pytest.raises(ValueError, match="dtype float32, expected .* float64"):
        lazy.extend(inputs(2, dtype=np.float32))
    assert tg.open_matrix(copied, "ntk").shape == (23, 23)


def test_a_symmetric_store_is_not_used_for_two_sets_nor_one_of_two_for_one(path):
    tg.compute(KERNEL, inputs(6), tile=3, path=path)
    with pytest.raises(tg.StoreMismatchError, match="symmetric .* is False, not True"):
        tg.compute(KERNEL, inputs(6), inputs(6, 1), path=path)
    other = path.with_name("other")
    between = tg.compute(KERNEL, inputs(6), inputs(6, 1), tile=3, path=other)
    with pytest.raises(ValueError, match="k is not symmetric"):
        tg.choose_ridge(between, np.ones(6))
    with pytest.raises(ValueError, match="between two sets of inputs"):
        tg.solve(between, np.ones(6))


def test_published_kernels_are_read(tmp_path):
    k = KERNEL(inputs(11))
    edges = [0, 4, 8, 11]
    for name in BOTH:
        for i in range(3):
            for j in range(i, 3):
                part = getattr(k, name)[
                    edges[i] : edges[i + 1], edges[j] : edges[j + 1]
                ]
                with open(tmp_path / f"{name}-{i}-{j}", "wb") as file:
                    np.save(file, part.astype(np.float32))
    both = tg.open_matrix(tmp_path)
    assert both.ntk.dtype == np.float32
    np.testing.assert_array_equal(both.ntk.to_numpy(), k.ntk.astype(np.float32))
    np.testing.assert_array_equal(both.nngp[9, :5], k.nngp.astype(np.float32)[9, :5])
    os.remove(tmp_path / "ntk-0-2")
    with pytest.raises(ValueError, match="no block ntk-0-2"):
        tg.open_matrix(tmp_path)
