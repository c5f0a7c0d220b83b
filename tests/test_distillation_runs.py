"""Runs of distillation: killed, resumed, extended, damaged, refused."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from distillation_in_process import NET, config, training_set

import tangency as tg
from tangency.distillation import Config, Run
from tangency.distillation.checkpoint import Checkpoint

X, Y = training_set()


def bits(run):
    """All that a run has learned, and what it noted on the way but for the time."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]
    state = run.checkpoint()
    return state.images.tobytes(), state.labels.tobytes(), rows


def files(path):
    return {p.name: p.read_bytes() for p in Path(path).iterdir()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "torch.AdamW", "optimizer_options": {"weight_decay": 0.1}},
        {"optimizer": "optax.sgd", "optimizer_options": {"momentum": 0.9}},
        {"sketch": 16, "sketch_steps": 4, "init": "noise", "dtype": "float32"},
        {"network": (NET, tg.serial(tg.Flatten(), tg.Dense(9))), "init": "kmeans"},
        {"validation": 0.2, "evaluate_every": 2, "get": "nngp"},
    ],
    ids=lambda settings: " ".join(settings) or "default",
)
def test_a_resumed_run_takes_the_same_steps_bit_for_bit(tmp_path, settings):
    settings = config(**{**settings, "steps": 6})
    whole = Run.create(tmp_path / "whole", settings, X, Y).train(progress=False)
    run = Run.create(tmp_path / "parts", settings, X, Y)
    for steps in (1, 3, 6):
        run.train(steps, progress=False)
        run = Run.open(tmp_path / "parts")
    assert bits(run) == bits(whole)
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]


def kill_and_resume(path, steps, seed):
    """Kill a run at a random moment, and finish it here."""
    script = Path(__file__).with_name("distillation_in_process.py")
    process = subprocess.Popen([sys.executable, script, path, str(steps)])
    try:
        while not (path / "metrics.jsonl").stat().st_size:
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.01)
        time.sleep(np.random.default_rng(seed).uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    run = Run.open(path)
    reached = run.step
    return reached, run.train(steps, progress=False)


def check_killed(tmp_path, trials):
    # More steps than are made before the signal comes.
    steps = 400
    settings = config(steps=steps)
    whole = Run.create(tmp_path / "whole", settings, X, Y).train(progress=False)
    for seed in range(trials):
        path = tmp_path / f"killed{seed}"
        Run.create(path, settings, X, Y)
        reached, run = kill_and_resume(path, steps, seed)
        # It is 0 where the signal came between the first rows and their checkpoint.
        assert reached < steps
        assert bits(run) == bits(whole)
        # Nothing half-written is left under a name that is read.
        assert set(files(path)) >= {"config.json", "checkpoint.npz", "metrics.jsonl"}


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_run_arrives_at_the_same_bits(tmp_path):
    check_killed(tmp_path, trials=1)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_runs_killed_at_many_moments_arrive_at_the_same_bits(tmp_path):
    check_killed(tmp_path, trials=8)


def test_a_finished_run_can_be_extended(tmp_path):
    whole = Run.create(tmp_path / "whole", config(steps=7), X, Y)
    run = Run.create(tmp_path / "run", config(steps=4), X, Y).train(progress=False)
    run.train(7, progress=False)
    assert bits(run) == bits(whole.train(progress=False))
    assert Run.open(tmp_path / "run").config.steps == 7


def test_rows_after_the_checkpoint_are_made_again(tmp_path):
    run = Run.create(tmp_path / "run", config(steps=4), X, Y).train(progress=False)
    expected = bits(run)
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    run = Run.open(tmp_path / "run").train(progress=False)
    assert bits(run) == expected


@pytest.mark.parametrize("damage", ["byte", "cut", "text", "pickle"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path, damage):
    Run.create(tmp_path / "run", config(), X, Y).train(2, progress=False)
    path = tmp_path / "run" / "checkpoint.npz"
    whole = path.read_bytes()
    if damage == "byte":
        middle = len(whole) // 2
        path.write_bytes(
            whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        )
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_bytes(b"not a checkpoint")
    else:
        np.savez(path, images=np.array([object()]), checksum="")
    before = files(tmp_path / "run")
    with pytest.raises(tg.CheckpointError, match="damaged"):
        Run.open(tmp_path / "run")
    assert files(tmp_path / "run") == before


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    Run.create(tmp_path / "run", config(), X, Y)
    other = Run.create(tmp_path / "other", config(seed=1), X, Y)
    (other.path / "checkpoint.npz").replace(tmp_path / "run" / "checkpoint.npz")
    before = files(tmp_path / "run")
    with pytest.raises(tg.CheckpointError, match="another configuration"):
        Run.open(tmp_path / "run")
    assert files(tmp_path / "run") == before


def test_a_checksum_sees_every_array(tmp_path):
    run = Run.create(tmp_path / "run", config(), X, Y).train(1, progress=False)
    path = run.path / "checkpoint.npz"
    arrays = dict(np.load(path))
    for name in set(arrays) - {"checksum"}:
        changed = arrays[name].astype("U40") if name == "run" else arrays[name] + 1
        np.savez(path, **{**arrays, name: changed})
        with pytest.raises(tg.CheckpointError, match="checksum"):
            Run.open(run.path)


def test_a_directory_of_another_configuration_is_refused(tmp_path):
    settings = config()
    Run.create(tmp_path, settings, X, Y)
    with pytest.raises(tg.RunMismatchError, match="learning_rate is 0.5, not 0.01"):
        Run.open(tmp_path, replace(settings, learning_rate=0.5))
    with pytest.raises(tg.RunMismatchError, match="another configuration: Dense.out"):
        wide = tg.serial(tg.Flatten(), tg.Dense(9, b_std=0.1), tg.Relu(), tg.Dense(10))
        tg.distill(replace(settings, network=wide), X, Y, tmp_path)
    with pytest.raises(tg.RunMismatchError, match="another training set"):
        Run.open(tmp_path, settings, X + 1, Y)
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create(tmp_path, settings, X, Y)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        Run.open(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"config": {}}')
    with pytest.raises(ValueError, match="not that of a run: it has no classes"):
        Run.open(tmp_path)


def test_a_run_without_its_training_set_asks_for_it(tmp_path):
    Run.create(tmp_path, config(steps=2), X, Y, keep_data=False)
    with pytest.raises(FileNotFoundError, match="pass x and y to Run.open"):
        Run.open(tmp_path).train(progress=False)
    assert Run.open(tmp_path, x=X, y=Y).train(progress=False).step == 2


class Explosion:
    """Training images that are enormous from the third call on."""

    def __init__(self, factor):
        self.calls, self.factor = 0, factor

    def __call__(self, x, rng):
        self.calls += 1
        return x * self.factor if self.calls > 3 else x


@pytest.mark.parametrize("factor", [1e153, 1e200])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(
    tmp_path, factor
):
    settings = config(augment=(Explosion(factor),), optimizer="torch.SGD")
    run = Run.create(tmp_path, settings, X, Y)
    with pytest.raises(tg.NonFiniteLossError, match="step [45].*checkpoint of step 2"):
        run.train(progress=False)
    state = run.checkpoint()
    assert state.step == 2 and np.isfinite(state.images).all()
    assert [row["step"] for row in run.metrics] == [1, 2]


CALLS = []


def interrupt(x, rng):
    """Press Ctrl-C at the fourth call."""
    CALLS.append(len(x))
    if len(CALLS) == 4:
        raise KeyboardInterrupt
    return x


def test_an_interrupt_keeps_the_last_step(tmp_path):
    CALLS.clear()
    run = Run.create(tmp_path, config(augment=(interrupt,)), X, Y)
    with pytest.raises(KeyboardInterrupt, match="keeps step 3"):
        run.train(progress=False)
    assert run.step == 3 and len(run.metrics) == 3
    # A function of the user is not in config.json.
    with pytest.raises(ValueError, match="pass the same config"):
        Run.open(tmp_path)
    assert Run.open(tmp_path, run.config).train(5, progress=False).step == 5


def test_training_stops_early_at_the_best_step_on_validation(tmp_path):
    def score(images, labels, x, classes):
        assert len(x) == len(classes) == 40
        looks.append(images)
        return -abs(len(looks) - 2.0)

    looks = []
    settings = config(
        steps=40, validation=0.2, evaluate_every=2, patience=2, checkpoint_every=3
    )
    run = Run.create(tmp_path, settings, X, Y).train(progress=False, score=score)
    assert run.step == 8 and len(looks) == 4
    assert run.checkpoint("best.npz").step == 4
    np.testing.assert_array_equal(run.support[0], looks[1])
    assert run.train(progress=False, score=score).step == 8


class Terminal(io.StringIO):
    def isatty(self):
        return True


def slow(x, rng):
    """Long enough for a bar to appear."""
    time.sleep(0.6)
    return x


def test_the_bar_shows_loss_and_accuracy(tmp_path, monkeypatch):
    pytest.importorskip("tqdm", reason="needs the extra 'progress'")
    monkeypatch.setattr(sys, "stderr", Terminal())
    Run.create(tmp_path, config(steps=3, augment=(slow,)), X, Y).train()
    shown = sys.stderr.getvalue()
    assert "distil 1 per class" in shown and "3/3" in shown
    assert "loss=" in shown and "accuracy=" in shown


def test_a_config_survives_json():
    settings = config(
        network=(NET, tg.serial(tg.Dense(3), tg.Gelu())),
        optimizer_options={"b1": 0.8},
        sketch=64,
    )
    text = settings.to_json()
    assert Config.from_json(text) == settings and json.loads(text)["batch"] == 40
    with pytest.raises(ValueError, match="no setting color"):
        Config.from_json('{"color": 3}')


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_class": 0}, "per_class is 0, expected an integer >= 1"),
        ({"steps": 1.5}, "steps is 1.5"),
        (
            {"learning_rate": float("nan")},
            "learning_rate is nan, expected a number > 0",
        ),
        ({"ridge": -1}, "ridge is -1"),
        ({"validation": 1.0}, "validation is 1.0, expected a number from 0"),
        ({"init": "random"}, "init is 'random', expected one of"),
        ({"optimizer": "adam"}, "expected 'optax.NAME' or 'torch.NAME'"),
        ({"patience": 2}, "patience is 2, but validation is 0"),
        ({"sketch_steps": 3}, "sketch_steps is 3, but sketch is None"),
        ({"augment": ("flip",)}, "expected a tuple of functions"),
        ({"network": "dense(3)"}, "expected a network made by serial"),
        ({"network": lambda a, b, get: a, "sketch": 8}, "only networks made by serial"),
    ],
)
def test_settings_that_are_not_fit_are_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        config(**settings)


@pytest.mark.parametrize("name", ["optax.nothing", "torch.Nothing", "optax.chain"])
def test_unknown_optimizers_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"optimizer .*{name}"):
        Run.create(tmp_path, config(optimizer=name), X, Y)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("per_class", "labels", "classes", "message"),
    [
        (25, Y, None, "class . has only 20 training images"),
        (1, Y, 9, "y holds the label 9, expected 0, ..., 8"),
        (1, Y - 1, None, "labels holds -1, expected integers >= 0"),
        (1, Y * 2, None, "y has no example of class 1"),
        (1, Y[:-1], None, "y has 199 labels, expected 200"),
        (1, 0 * Y, None, "y holds one class only"),
    ],
)
def test_training_sets_that_are_not_fit_are_refused(
    tmp_path, per_class, labels, classes, message
):
    with pytest.raises(ValueError, match=message):
        Run.create(tmp_path, config(per_class=per_class), X, labels, classes)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_a_file_that_numpy_reads(tmp_path):
    run = Run.create(tmp_path, config(), X, Y)
    with np.load(run.path / "start.npz") as found:
        np.testing.assert_array_equal(found["images"], run.start[0])
    again = Checkpoint.load(run.path / "start.npz", run._written["run"])
    assert again.step == 0 and again.seed == 0
