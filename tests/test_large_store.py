"""A store of ten gigabytes is opened and sliced in a hundred megabytes."""

import subprocess
import sys

import numpy as np
import pytest
from house import ROOT

import tangency as tg
from tangency.kernels.matrix.opening import make_store
from tangency.kernels.matrix.tile_file import DIGEST, _header

ROWS = 50_000
CODE = """
import sys
import numpy as np
import tangency as tg
from benchmarks.memory import rise

def work():
    k = tg.open_matrix(sys.argv[1])
    assert k.shape == (50_000, 50_000) and not k.missing
    parts = [k[49_000:49_010], k[::5000, 7], k[:, 49_999], k[[3, 40_000]], k.diagonal()]
    assert all((part == 0).all() for part in parts)

print(rise(work))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_store_of_ten_gigabytes_is_sliced_in_a_hundred_megabytes(tmp_path):
    kernel = tg.ExactKernel(tg.serial(tg.Dense(8), tg.Relu(), tg.Dense(1)))
    x = np.random.default_rng(0).normal(size=(ROWS, 2))
    store, _ = make_store(tmp_path / "k", kernel, x, None, ("ntk",), None)
    for i, j in store.positions():
        # Files with a hole in place of the entries: they take no room on the disk.
        header = _header(store._shape(i, j), np.dtype(float))
        with open(store.path("ntk", i, j), "wb") as file:
            file.write(header)
            file.seek(len(header) + 8 * int(np.prod(store._shape(i, j))))
            file.write(store.manifest.tag("ntk", i, j) + bytes(DIGEST))
    sizes = [p.stat().st_size for p in (tmp_path / "k").glob("ntk-*.npy")]
    assert sum(sizes) > 10e9
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "k")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 100e6
