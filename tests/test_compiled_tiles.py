"""Tiles of compiled kernels: what depends on one image is computed once."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tangency as tg
from tangency.kernels.matrix.evaluation import Job, tile_of
from tangency.kernels.planes.cpu import Engine
from tangency.kernels.planes.cpu_near_pairs import nearly_parallel
from tangency.kernels.planes.cpu_sides import Side, Sides

NET = tg.serial(
    tg.Conv(8, (3, 3), padding="SAME"),
    tg.Relu(),
    tg.AvgPool((2, 2), (2, 2)),
    tg.Conv(8, (3, 3), padding="SAME"),
    tg.Relu(),
    tg.Flatten(),
)
KERNEL = tg.ExactKernel(NET)
TILE = 8


def images(n, seed=0):
    """Of which the first three are nearly parallel, also to those of another seed."""
    x = np.random.default_rng(seed).normal(size=(n, 4, 4, 2))
    x[:3] = 1 + 0.01 * x[:3]
    return x.astype(np.float32)


@pytest.fixture
def recorded(monkeypatch):
    """How many images the maps were computed of, call by call."""
    calls = []
    record = Engine.recorded

    def counting(self, images, threads):
        calls.append((len(images), self.dtype))
        return record(self, images, threads)

    monkeypatch.setattr(Engine, "recorded", counting)
    return calls


def of_images(recorded, dtype=np.float32):
    return [n for n, kind in recorded if kind == dtype]


@pytest.mark.parametrize("stored", [False, True])
def test_maps_are_computed_once_for_all_tiles(recorded, tmp_path, stored):
    path = tmp_path / "k" if stored else None
    options = {"path": path, "progress": False, "tile": TILE}
    tg.compute(KERNEL, images(32), images(16, 1), "ntk", **options)
    assert of_images(recorded) == [TILE] * (4 + 2)


def test_maps_are_computed_once_for_both_halves_of_a_symmetric_matrix(recorded):
    tg.compute(KERNEL, images(32), tile=TILE)
    assert of_images(recorded) == [TILE] * 4


def test_threads_compute_maps_once(recorded):
    with ThreadPoolExecutor(4) as executor:
        tg.compute(KERNEL, images(32), tile=TILE, executor=executor)
    assert of_images(recorded) == [TILE] * 4


def test_only_images_of_nearly_parallel_pairs_are_computed_again_in_float64(recorded):
    tg.compute(KERNEL, images(16), tile=16)
    assert of_images(recorded, np.float64) == [3]
    recorded.clear()
    tg.compute(KERNEL, images(16), images(16, 1), tile=16)
    assert of_images(recorded, np.float64) == [3, 3]


def test_tiles_are_those_of_one_call_to_the_last_bit(tmp_path):
    x1, x2 = images(21), images(14, 1)
    for pair in ((x1, None), (x1, x2)):
        whole = KERNEL(*pair)
        for tile in (5, 16):
            tiled = tg.compute(KERNEL, *pair, ("nngp", "ntk"), tile)
            np.testing.assert_array_equal(tiled.nngp, whole.nngp)
            np.testing.assert_array_equal(tiled.ntk, whole.ntk)


def side(n):
    return Side(np.zeros((n, 4)), np.zeros((n, 3)), np.zeros(n))


def test_sides_are_kept_up_to_a_number_of_bytes():
    made = []

    def make(x):
        made.append(int(x[0]))
        return side(len(x))

    blocks = [slice(i, i + 10) for i in range(0, 100, 10)]
    sides = Sides(make, (np.arange(100),), limit=4 * side(10).nbytes)
    for block in blocks[1:]:
        # A row of tiles: its own side is used in every one of them.
        sides(0, blocks[0])
        sides(0, block)
        assert sides.nbytes <= 4 * side(10).nbytes
    assert made == list(range(0, 100, 10))
    # The two of a tile are there at a time, whatever the limit is.
    narrow = Sides(make, (np.arange(100), np.arange(100)), limit=0)
    made.clear()
    for _ in range(3):
        narrow(0, blocks[0])
        narrow(1, blocks[0])
    assert made == [0, 0]


def test_a_job_travels_without_what_is_compiled():
    job = Job(KERNEL, images(8), None)
    rows = slice(0, 8)
    before = len(pickle.dumps(job))
    here = tile_of(job, ("ntk",), rows, rows)["ntk"]
    sent = pickle.dumps(job)
    assert len(sent) == before
    there = tile_of(pickle.loads(sent), ("ntk",), rows, rows)["ntk"]
    np.testing.assert_array_equal(there, here)


def test_a_kernel_of_the_user_is_called_for_every_tile():
    class Doubled(tg.ExactKernel):
        def __call__(self, x1, x2=None, get="ntk"):
            return 2 * super().__call__(x1, x2, get)

    x = images(8)
    expected = 2 * KERNEL(x, get="ntk")
    np.testing.assert_array_equal(tg.compute(Doubled(NET), x, tile=4), expected)


def test_an_engine_that_does_not_apply_is_refused_as_by_a_call():
    with pytest.raises(ValueError, match="engine='triton'"):
        tg.compute(tg.ExactKernel(NET, "triton"), images(8), tile=4)
    with pytest.raises(ValueError, match="precision='ieee'"):
        tg.compute(tg.ExactKernel(NET, precision="ieee"), images(8), tile=4)


def test_nearly_parallel_pairs_are_the_same_in_every_block():
    x = images(40).reshape(40, -1)
    whole = nearly_parallel(x, x)
    assert whole[:3, :3].sum() == 6 and whole.sum() == 6
    for start in range(0, 40, 7):
        part = nearly_parallel(x[start : start + 7], x)
        np.testing.assert_array_equal(part, whole[start : start + 7])
