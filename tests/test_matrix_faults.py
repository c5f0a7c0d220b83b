"""Faults at any moment: never a wrong number, never a finished tile lost."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from slow_kernel import TILES, SlowKernel, inputs

import tangency as tg
from tangency.kernels.matrix.execution import WorkersLostError
from tangency.kernels.matrix.store import Store

SCRIPT = Path(__file__).with_name("slow_kernel.py")
SECONDS = 0.004


def start(path, user="same", size=0):
    """The script, as another user, or unable to write files larger than ``size``."""
    words = [SCRIPT, path, SECONDS, user, size]
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(path):
    return {p: p.stat().st_mtime_ns for p in path.glob("n*.npy")}


def assert_resumes(path):
    """The store is finished with the right numbers, and what was there stays."""
    before = finished(path)
    resumed = tg.compute(SlowKernel(SECONDS), inputs(), path=path, **TILES)
    k = np.einsum("nd,md->nm", inputs(), inputs())
    np.testing.assert_array_equal(resumed.nngp.to_numpy(), k)
    np.testing.assert_array_equal(resumed.ntk.to_numpy(), 2 * k)
    after = finished(path)
    assert all(after[file] == when for file, when in before.items())
    assert not list(path.glob(".*"))


def kill_and_resume(path, trial):
    moment = random.Random(trial).uniform(0, 0.4)
    with start(path) as process:
        assert process.stdout.readline() == "computing\n"
        time.sleep(moment)
        process.kill()
        process.communicate()
    assert_resumes(path)


@pytest.mark.parametrize("trial", range(3))
def test_a_killed_run_resumes(tmp_path, trial):
    kill_and_resume(tmp_path / "k", trial)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(3, 33))
def test_a_run_that_is_killed_at_any_moment_resumes(tmp_path, trial):
    kill_and_resume(tmp_path / "k", trial)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(10))
def test_runs_whose_workers_are_killed_one_after_the_other_end_well(tmp_path, trial):
    pytest.importorskip("loky", reason="needs the extra 'loky'")
    victims = tmp_path / "victims"
    victims.mkdir()
    for number in range(1 + trial % 3):
        (victims / str(number)).touch()
    kernel = SlowKernel(SECONDS, str(victims))
    for _ in range(5):
        try:
            k = tg.compute(kernel, inputs(), path=tmp_path / "k", executor=2, **TILES)
        except WorkersLostError:
            continue
        break
    expected = np.einsum("nd,md->nm", inputs(), inputs())
    np.testing.assert_array_equal(k.nngp.to_numpy(), expected)


def test_two_processes_share_one_store(tmp_path):
    path = tmp_path / "k"
    with start(path) as one, start(path) as two:
        for process in (one, two):
            out, err = process.communicate()
            assert out.endswith("done\n"), err
    assert tg.verify_matrix(path) == {}
    assert_resumes(path)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path):
    path = tmp_path / "k"
    tg.compute(SlowKernel(SECONDS), inputs(), path=path, **TILES)
    for file in list(finished(path))[10:]:
        file.unlink()
    smallest = min(file.stat().st_size for file in finished(path))

    with start(path, size=smallest - 1) as process:
        out, err = process.communicate()
    assert "done" not in out
    assert "could not be written" in err and "tiles before it are kept" in err
    assert len(finished(path)) == 10
    assert_resumes(path)


def test_a_read_only_folder_is_reported(tmp_path):
    path = tmp_path / "k"
    # Root may write anywhere, so it becomes nobody.
    user = 65534 if os.geteuid() == 0 else "same"
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    tmp_path.chmod(0o555)
    try:
        with start(path, user) as process:
            out, err = process.communicate()
    finally:
        tmp_path.chmod(0o755)
    assert "done" not in out
    assert "cannot be made: Permission denied" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_no_space_left_names_the_tile(tmp_path, monkeypatch):
    path = tmp_path / "k"
    from tangency.kernels.matrix import tile_file

    def full(out):
        return open("/dev/full", "wb", buffering=0)

    tg.compute(SlowKernel(), inputs(), path=path, **TILES)
    next(iter(finished(path))).unlink()
    monkeypatch.setattr(tile_file, "written_whole", full)
    with pytest.raises(OSError, match=r"tile .* No space left on device.*make room"):
        tg.compute(SlowKernel(), inputs(), path=path, **TILES)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_tile_that_is_being_written_is_kept_when_the_next_one_fails(
    tmp_path, monkeypatch, error
):
    written, failed = Store.write, threading.Event()

    def slow(store, name, i, j, k):
        # The third tile fails while the second is being written.
        assert (i, j) != (0, 1) or failed.wait(60)
        written(store, name, i, j, k)

    computed = []

    def kernel(x1, x2=None, get="ntk"):
        if len(x1) > 1:
            if len(computed) == 2:
                failed.set()
                raise error
            computed.append(len(x1))
        return SlowKernel()(x1, x2, get)

    monkeypatch.setattr(Store, "write", slow)
    options = dict(path=tmp_path / "k", tile=16, progress=False)
    with pytest.raises(error):
        tg.compute(kernel, inputs(), get="ntk", **options)
    names = {file.name for file in (tmp_path / "k").glob("ntk*")}
    assert names == {"ntk-0-0.npy", "ntk-0-1.npy"}
    assert tg.verify_matrix(tmp_path / "k", progress=False).keys() == {"ntk-1-1.npy"}
