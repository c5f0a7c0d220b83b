"""``tangency distill evaluate``: what the images of a run are worth."""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..distillation.evaluation import Score, evaluate
from ..distillation.finite_settings import Training
from ..distillation.run import Run
from ..kernels.layers.signature import input_signature, trace
from ..kernels.matrix.files import written_whole
from .distill_data import prepared
from .distill_network import read_network

NEEDS = {"jax": "jax", "optax": "optax"}


def add_parser(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "evaluate",
        help="accuracies of a run's images on the test images",
        description="Accuracies on the test images: of the exact kernels, and of "
        "finite networks trained on the distilled images, with as many natural images "
        "beside them. Written to evaluation.json as well.",
    )
    parser.add_argument("out", metavar="RUN", help="the directory that distill made")
    parser.add_argument("--data", help="where the data are now, if they were moved")
    parser.add_argument(
        "--network", nargs="+", help="other networks than those of the run"
    )
    parser.add_argument("--seeds", type=int, default=3, help="default 3")
    parser.add_argument(
        "--get", nargs="+", default=["ntk", "nngp"], choices=["ntk", "nngp"]
    )
    parser.add_argument("--no-transfer", action="store_true", help="kernels alone")
    parser.add_argument(
        "--width", type=int, help="of the hidden layers of a trained, named network"
    )
    defaults = Training()
    parser.add_argument(
        "--training-steps",
        type=int,
        default=defaults.steps,
        help=f"of trained networks; default {defaults.steps}",
    )
    parser.add_argument(
        "--l2", type=float, default=defaults.l2, help=f"default {defaults.l2}"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    done = Run.open(options.out)
    about = done.about
    if "data" not in about and options.data is None:
        raise ValueError(
            f"--data is missing: {options.out!r} was not made by this command, and "
            "does not say where its data are"
        )
    data = prepared(
        options.data or about["data"], about.get("preprocess", "none"), "float32"
    )
    texts = options.network or about.get("network")
    if not texts:
        raise ValueError(f"--network is missing: {options.out!r} names no network")
    shape = data.train.images.shape
    networks = {
        text: read_network(text, shape, done.classes, options.width) for text in texts
    }
    training = None
    if _can_transfer(options, networks, shape, done.classes):
        training = Training(steps=options.training_steps, l2=options.l2)
    scores = evaluate(
        done.support,
        (data.train.images, data.train.labels),
        (data.test.images, data.test.labels),
        networks,
        done.config.ridge,
        tuple(options.get),
        options.seeds,
        training,
    )
    _report(done, data, scores, max(map(len, networks)))


def _can_transfer(
    options: argparse.Namespace, networks: dict[str, Any], shape: Any, classes: int
) -> bool:
    """Whether finite networks can be trained; if not, says why."""
    if options.no_transfer:
        return False
    missing = [package for name, package in NEEDS.items() if not find_spec(name)]
    if missing:
        print(
            f"no finite network is trained: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        return False
    for text, net in networks.items():
        outputs = trace(net, input_signature(tuple(shape))).channels
        if outputs != classes:
            print(
                f"no finite network is trained: {text!r} has {outputs} outputs, and "
                f"there are {classes} classes",
                file=sys.stderr,
            )
            return False
    return True


def _report(done: Run, data: Any, scores: Any, width: int) -> None:
    images, _ = done.support
    print(
        f"{done.path}: {len(images)} images after {done.step} steps, accuracy in % on "
        f"{len(data.test)} test images of {done.about.get('data')}"
    )
    width = max(width, len("network"))
    print(f"{'network':<{width}}  {'':<7}  {'distilled':>12}  {'natural':>12}")
    rows = []
    for score in scores:
        rows.append(score)
        cells = (_cell(score.distilled), _cell(score.natural))
        name, kind = score.name, score.of
        print(f"{name:<{width}}  {kind:<7}  {cells[0]:>12}  {cells[1]:>12}", flush=True)
    _write(Path(done.path) / "evaluation.json", done, rows)


def _cell(accuracies: tuple[float, ...]) -> str:
    mean = f"{100 * np.mean(accuracies):.1f}"
    if len(accuracies) == 1:
        return mean
    return f"{mean} +- {100 * np.std(accuracies):.1f}"


def _write(path: Path, done: Run, scores: list[Score]) -> None:
    content = {"step": done.step, "scores": [vars(score) for score in scores]}
    with written_whole(path) as file:
        file.write(json.dumps(content, indent=2).encode())
