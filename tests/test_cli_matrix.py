"""``tangency matrix``: compute, resume, verify, solve."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import tangency as tg
from tangency.cli import commands

FC = "dense(8, W_std=1.4, b_std=0.1) relu dense(1)"


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """A folder with x.npy, y.npy and the store k.tiles, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.normal(size=(21, 3)))
    np.save("y.npy", rng.normal(size=(21, 2)))
    options = ["--get", "nngp", "ntk", "--tile", 6]
    assert run("--network", FC, "--x", "x.npy", "--out", "k.tiles", *options) == 0
    assert "nngp and ntk [21, 21] float64 -> k.tiles" in capsys.readouterr().err
    return tmp_path


def run(*arguments):
    return commands.main(["matrix", *map(str, arguments)])


def failing(capsys, *arguments):
    assert run(*arguments) == 2
    return capsys.readouterr().err


def expected():
    net = tg.serial(tg.Dense(8, 1.4, 0.1), tg.Relu(), tg.Dense(1))
    return tg.compute(tg.ExactKernel(net), np.load("x.npy"), get=("nngp", "ntk"))


def test_a_store_is_made_verified_and_mended(made, capsys):
    both = tg.open_matrix("k.tiles")
    np.testing.assert_allclose(both.ntk.to_numpy(), expected().ntk, rtol=1e-7)
    assert run("verify", "k.tiles") == 0
    assert "every tile is there and whole" in capsys.readouterr().out
    os.remove("k.tiles/ntk-1-2.npy")
    with open("k.tiles/nngp-0-0.npy", "r+b") as file:
        file.seek(200)
        file.write(b"?")
    assert run("verify", "k.tiles") == 2
    said = capsys.readouterr()
    assert "ntk-1-2.npy: it is missing" in said.out
    assert "nngp-0-0.npy: its checksum is wrong" in said.out
    assert "2 tiles of k.tiles are not fit" in said.err and "resume" in said.err
    assert run("resume", "k.tiles") == 0
    assert tg.verify_matrix("k.tiles") == {}


def test_a_store_is_solved(made, capsys):
    options = ["--y", "y.npy", "--get", "ntk", "--out", "alpha.npy"]
    k, y = expected().ntk, np.load("y.npy")
    for more, ridge in (
        (["--ridge", "0.1"], 0.1),
        (["--ridge", "loo"], tg.choose_ridge(k, y).ridge),
        (["--ridge", "0.1", "--solver", "pcg", "--tolerance", "1e-10"], 0.1),
        (["--ridge", "0.1", "--solver", "block", "--tolerance", "1e-10"], 0.1),
    ):
        assert run("solve", "k.tiles", *options, *more) == 0
        assert "condition number about" in capsys.readouterr().out
        np.testing.assert_allclose(np.load("alpha.npy"), tg.solve(k, y, ridge).x, 1e-5)


def test_bad_options_are_named(made, capsys):
    assert "--network is missing" in failing(capsys)
    assert "--get is missing" in failing(capsys, "solve", "k.tiles", "--y", "y.npy")
    wrong = ["solve", "k.tiles", "--get", "ntk", "--y", "y.npy", "--ridge"]
    assert "--ridge is 'much'" in failing(capsys, *wrong, "much")
    assert "ridge is -1.0" in failing(capsys, *wrong, "-1")
    np.save("short.npy", np.ones((5, 2)))
    short = ["solve", "k.tiles", "--get", "ntk", "--y", "short.npy"]
    assert "y has shape (5, 2), expected [21]" in failing(capsys, *short)
    assert "holds no tile store" in failing(capsys, "resume", "nothing")
    another = ["--network", "dense(1)", "--x", "x.npy", "--out", "k.tiles"]
    assert "is of another matrix" in failing(capsys, *another)


def test_workers_are_chosen_by_options(made, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    os.remove("k.tiles/ntk-1-2.npy")
    assert "no GPU is visible" in failing(capsys, "resume", "k.tiles", "--gpus")
    assert "executor is 0" in failing(capsys, "resume", "k.tiles", "--jobs", 0)
    wrong = ["--scheduler", "nowhere"]
    assert "expected 'dask', 'gpu' or" in failing(capsys, "resume", "k.tiles", *wrong)
    assert run("resume", "k.tiles", "--jobs", 2) == 0
    assert tg.verify_matrix("k.tiles") == {}


def test_an_interrupt_leaves_a_store_that_resumes(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(600, 3)))
    command = [sys.executable, "-m", "tangency", "matrix", "--network", FC]
    command += ["--x", "x.npy", "--out", "k.tiles", "--tile", "8"]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        while not list(tmp_path.glob("k.tiles/ntk-*.npy")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "go on with `tangency matrix resume k.tiles`" in said
    assert "Traceback" not in said
    missing = len(tg.open_matrix(tmp_path / "k.tiles").missing)
    assert 0 < missing < 75 * 76 / 2
