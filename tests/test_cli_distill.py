"""``tangency distill``: distil, resume, evaluate; and its pictures."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dataset_files import cifar_python, write_archive
from matplotlib.image import imread

import tangency as tg
from tangency.cli import commands
from tangency.cli.distill_network import read_network
from tangency.distillation.architectures import fully_connected
from tangency.distillation.picture import draw_curves, draw_images

SMALL = "--data digits --network fc1 --per-class 1 --batch 50 --steps 4 --out d".split()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return commands.main(["distill", *map(str, arguments)])


def failing(capsys, *arguments):
    assert run(*arguments) == 2
    return capsys.readouterr().err


def test_digits_are_distilled_resumed_and_evaluated(folder, capsys):
    assert run(*SMALL) == 0
    said = capsys.readouterr().out
    assert "step 4: loss" in said and "distill evaluate d" in said
    files = {p.name for p in (folder / "d").iterdir()}
    wanted = {"config.json", "metrics.jsonl", "images.png", "curves.png"}
    assert wanted <= files
    assert run("resume", "d", "--steps", 6) == 0
    assert "step 6: loss" in capsys.readouterr().out
    found = tg.distillation.Run.open("d")
    assert found.step == 6 and len(found.metrics) == 6
    assert found.about["network"] == ["fc1"] and found.about["data"] == "digits"

    options = ["--seeds", 2, "--training-steps", 20, "--width", 16]
    assert run("evaluate", "d", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "10 images after 6 steps" in lines[0] and "500 test images" in lines[0]
    assert [line.split()[:2] for line in lines[2:]] == [
        ["fc1", "NTK"],
        ["fc1", "NNGP"],
        ["fc1", "trained"],
    ]
    scores = json.loads((folder / "d" / "evaluation.json").read_text())["scores"]
    assert len(scores[2]["distilled"]) == 2 and len(scores[0]["natural"]) == 2
    assert f"{100 * scores[0]['distilled'][0]:.1f}" in lines[2]


def test_a_resumed_run_is_the_run_that_was_not_interrupted(capsys):
    assert run(*SMALL[:-1], "whole", "--dtype", "float64") == 0
    less = ["2" if word == "4" else word for word in SMALL[:-1]]
    assert run(*less, "parts", "--dtype", "float64") == 0
    assert run("resume", "parts", "--steps", 4) == 0
    one, two = (tg.distillation.Run.open(p).support[0] for p in ("whole", "parts"))
    np.testing.assert_array_equal(one, two)


def test_a_finished_run_says_so(capsys):
    run(*SMALL)
    assert run("resume", "d") == 0
    assert "all 4 steps are made; --steps 8" in capsys.readouterr().err


def test_settings_reach_the_run():
    options = ["--learn-labels", "--init", "noise", "--augment", "crop:1", "noise:0.5"]
    options += ["--get", "nngp", "--ridge", "0.1", "--seed", "3", "--validation", "0.1"]
    assert run(*SMALL, *options, "--dtype", "float64", "--network", "fc1", "fc2") == 0
    config = tg.distillation.Run.open("d").config
    assert config.learn_labels and config.init == "noise" and config.seed == 3
    assert config.get == "nngp" and config.ridge == 0.1 and config.dtype == "float64"
    kinds = (tg.distillation.Crop(1), tg.distillation.Noise(0.5))
    assert config.augment == kinds and len(config.network) == 2


def test_colours_are_whitened_and_drawn_in_colour(folder, capsys):
    write_archive(folder / "cifar-10-python.tar.gz", "c", cifar_python("cifar10"))
    options = ["--data", f"cifar10:{folder}", "--network", "fc1", "--steps", "2"]
    options += ["--batch", "20", "--out", "c"]
    assert run(*options) == 0
    found = tg.distillation.Run.open("c")
    assert found.about["preprocess"] == "zca"
    assert found.about["names"][3] == "class 3"
    # Images of norm 1 were whitened: the norm is far from 1 then.
    assert np.linalg.norm(found.start[0][0]) > 2
    picture = imread("c/images.png")[..., :3]
    assert not np.allclose(picture[..., 0], picture[..., 1])


def test_networks_are_read_by_name_or_written_out():
    shape = (1, 8, 8, 1)
    assert read_network("FC2", shape, 7, 32) == fully_connected(2, 7, 32)
    net = read_network("dense(512) relu dense(512) relu dense(10)", shape, 10)
    assert isinstance(net.layers[0], tg.Flatten) and len(net.layers) == 6
    conv = read_network("conv(8, 3) relu globalavgpool dense(10)", shape, 10)
    assert isinstance(conv.layers[0], tg.Conv)


def test_a_written_network_is_distilled_and_evaluated(capsys):
    text = "dense(64) relu dense(64) relu dense(1)"
    assert run(*SMALL, "--network", text) == 0
    capsys.readouterr()
    assert run("evaluate", "d", "--seeds", 1, "--get", "ntk") == 0
    said = capsys.readouterr()
    assert f"{text}  NTK" in said.out and "trained" not in said.out
    assert "has 1 outputs, and there are 10 classes" in said.err


def test_bad_options_are_named(folder, capsys):
    assert "--data is missing" in failing(capsys)
    assert "--out is missing" in failing(capsys, "--data", "digits")
    assert "no data set 'mist'" in failing(capsys, *SMALL, "--data", "mist")
    missing = failing(capsys, *SMALL, "--data", f"mnist:{folder}")
    assert "train-images-idx3-ubyte" in missing and "nothing is downloaded" in missing
    assert "no layer has this name" in failing(capsys, *SMALL, "--network", "convent")
    assert "ends with spatial axes" in failing(
        capsys, *SMALL, "--network", "conv(8, 3) relu"
    )
    assert "--augment: 'turn'" in failing(capsys, *SMALL, "--augment", "turn")
    assert "per_class is 500" in failing(capsys, *SMALL, "--per-class", "500")
    assert "steps is -1" in failing(capsys, *SMALL, "--steps=-1")
    assert "'nowhere'" in failing(capsys, "resume", "nowhere")
    assert "'nowhere'" in failing(capsys, "evaluate", "nowhere")
    assert not (folder / "d").exists()


def test_a_run_is_not_overwritten(capsys):
    run(*SMALL)
    before = tg.distillation.Run.open("d").support[0]
    assert "distill resume d" in failing(capsys, *SMALL)
    np.testing.assert_array_equal(tg.distillation.Run.open("d").support[0], before)


def test_a_loss_that_is_not_finite_is_told_without_a_traceback(capsys):
    said = failing(capsys, *SMALL, "--learning-rate", "1e30")
    assert "step 2: the images of the step before have no finite kernel" in said
    assert "lower learning_rate" in said and "'d' keeps the checkpoint of" in said
    assert np.isfinite(tg.distillation.Run.open("d").support[0]).all()


def test_an_interrupted_run_says_how_to_go_on(folder):
    many = ["100000" if word == "4" else word for word in SMALL]
    command = [sys.executable, "-m", "tangency", "distill", *many]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    metrics = folder / "d" / "metrics.jsonl"
    end = time.monotonic() + 120
    # Rows are written at checkpoints.
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "is kept; go on with `python -m tangency distill resume d`" in said
    step = tg.distillation.Run.open("d").step
    assert run("resume", "d", "--steps", step + 1) == 0


def test_a_grid_has_a_column_for_each_class(folder):
    # Class c has images of brightness c: contrast is stretched, so a ramp is drawn.
    ramp = np.linspace(0, 1, 64).reshape(1, 8, 8, 1)
    images = np.concatenate([(5 + c) * ramp for c in (0, 0, 1)])
    draw_images("grid.png", images, np.array([0, 0, 1]), ("a", "b"))
    picture = imread("grid.png")[..., 0]
    height, width = picture.shape
    assert height > width
    # The lower right cell, where class b has no second image, is white.
    assert np.all(picture[int(0.7 * height) : -9, int(0.55 * width) : -9] == 1)
    for column in (picture[:, : width // 2], picture[:, width // 2 :]):
        assert column.min() < 0.02


def test_pictures_that_cannot_be_drawn_are_errors(monkeypatch):
    with pytest.raises(ValueError, match=r"\[n, H, W, 1\] or"):
        draw_images("x.png", np.zeros((2, 4)), np.zeros(2), ("a",))
    with pytest.raises(ValueError, match="metrics is empty"):
        draw_curves("x.png", [])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"tangency\[plot\]\""):
        draw_curves("x.png", [{"step": 1, "loss": 1.0, "accuracy": 0.5}])


def test_without_matplotlib_a_run_is_complete(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(*SMALL) == 0
    assert "no pictures: pictures need matplotlib" in capsys.readouterr().err
    assert tg.distillation.Run.open("d").step == 4
