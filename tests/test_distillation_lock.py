"""One process at a time in the directory of a run."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distillation_in_process import NET, config, training_set

import tangency as tg
from tangency.cli import commands
from tangency.distillation import Run

X, Y = training_set()
SCRIPT = Path(__file__).with_name("distillation_in_process.py")


@pytest.fixture
def other(tmp_path):
    """A run that another process is working on, and the process."""
    Run.create(tmp_path, config(steps=100_000), X, Y)
    process = subprocess.Popen([sys.executable, SCRIPT, tmp_path, "100000"])
    try:
        while not (tmp_path / "metrics.jsonl").stat().st_size:
            assert process.poll() is None, "the run ended before it was looked at"
            time.sleep(0.01)
        yield tmp_path, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_run_is_refused_while_another_process_works_on_it(other, capsys):
    path, process = other
    run = Run.open(path)
    with pytest.raises(tg.RunInUseError, match=f"in use by process {process.pid} on"):
        run.train(progress=False)
    assert commands.main(["distill", "resume", str(path)]) == 2
    assert f"in use by process {process.pid}" in capsys.readouterr().err
    # It was left alone: its rows are still those of every step in turn.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [row["step"] for row in run.metrics] == list(range(1, len(run.metrics) + 1))
    # A killed process has no lock.
    step = run.step
    assert run.train(step + 1, progress=False).step == step + 1


SECOND = []


def use_second(x, rng):
    """Go on, in the middle of a step, with the run that was opened a second time."""
    with pytest.raises(tg.RunInUseError, match=f"process {os.getpid()} on"):
        SECOND[-1].train(progress=False)
    return x


def test_a_run_is_refused_while_it_is_worked_on_here(tmp_path):
    settings = config(steps=2, augment=(use_second,))
    run = Run.create(tmp_path, settings, X, Y)
    SECOND.append(Run.open(tmp_path, settings))
    assert run.train(progress=False).step == 2
    assert run.train(3, progress=False).step == 3


def test_of_two_that_make_a_run_one_is_refused(tmp_path, monkeypatch):
    from tangency.distillation import folder

    real = folder.Folder._write

    def meanwhile(self, *arguments):
        with pytest.raises(tg.RunInUseError):
            Run.create(tmp_path, config(seed=1), X, Y)
        real(self, *arguments)

    monkeypatch.setattr(folder.Folder, "_write", meanwhile)
    first = Run.create(tmp_path, config(), X, Y)
    monkeypatch.undo()
    assert Run.open(tmp_path).config == first.config
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create(tmp_path, config(seed=1), X, Y)


def test_an_extension_by_somebody_else_is_not_forgotten(tmp_path):
    Run.create(tmp_path, config(steps=2), X, Y)
    mine, theirs = Run.open(tmp_path), Run.open(tmp_path)
    theirs.train(6, progress=False)
    assert mine.train(4, progress=False).step == 6
    assert Run.open(tmp_path).config.steps == 6


def test_a_file_system_without_locks_keeps_nobody_from_working(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows locks in another way")

    def unknown(file, how):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    run = Run.create(tmp_path, config(network=NET, steps=1), X, Y)
    monkeypatch.setattr(fcntl, "flock", unknown)
    assert run.train(progress=False).step == 1


def test_without_filelock_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .tangency\[distill"):
        Run.create(tmp_path, config(), X, Y)
    assert not list(tmp_path.iterdir())
