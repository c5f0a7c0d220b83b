"""``tangency distill``: a few images in the place of a training set."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..distillation.config import DTYPES, STARTS, Config
from ..distillation.picture import draw_run
from ..distillation.run import Run
from . import distill_evaluate
from .distill_data import PREPROCESSING, prepared
from .distill_network import NAMED, read_network
from .kernel import GRAMMAR

USAGE = f"""\
Without a word in front, distil a training set into a new directory:

  tangency distill --data digits --network convnet --per-class 1 --steps 300 \\
      --seed 0 --out runs/d1

and then, with the directory that it made:

  tangency distill resume runs/d1              go on after an interrupt
  tangency distill resume runs/d1 --steps 600  go on for more steps
  tangency distill evaluate runs/d1            accuracies on the test images

Data sets: digits, which come with scikit-learn, or one with the place of its files:
cifar10:PATH, cifar100:PATH, mnist:PATH, fashion_mnist:PATH, svhn:PATH, npz:PATH.

Networks: {", ".join(NAMED)}, or one that is written out.
"""
RESUME = "python -m tangency distill resume"
# Options that become settings of the same name.
SETTINGS = (
    "per_class",
    "steps",
    "seed",
    "batch",
    "learning_rate",
    "ridge",
    "learn_labels",
    "init",
    "optimizer",
    "get",
    "sketch",
    "sketch_steps",
    "validation",
    "patience",
    "dtype",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "distill",
        help="distil a training set into a few images: distil, resume, evaluate",
        description="Learn a few images on which a kernel learns what it would learn "
        "from a whole training set (KIP). It may be interrupted and resumed at any "
        "time.",
        epilog=f"{USAGE}\n{GRAMMAR}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _add_options(parser)
    parser.set_defaults(run=run_distill)
    resume = actions.add_parser("resume", help="go on with a run, or extend it")
    resume.add_argument("out", metavar="RUN", help="the directory that distill made")
    resume.add_argument("--steps", type=int, help="in total; those of the run if not")
    resume.set_defaults(run=run_resume)
    distill_evaluate.add_parser(actions)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="digits, or NAME:PATH such as cifar10:PATH")
    parser.add_argument(
        "--network",
        nargs="+",
        default=["convnet"],
        help="by name or written out; of several, every step takes one at random",
    )
    parser.add_argument("--out", metavar="RUN", help="a new directory")
    parser.add_argument("--per-class", type=int, default=1, help="images of a class")
    parser.add_argument("--steps", type=int, default=300, help="default 300")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--batch", type=int, default=500, help="training images of a step; default 500"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=1e-2, help="default 0.01"
    )
    parser.add_argument(
        "--ridge", type=float, default=1e-6, help="times the mean diagonal of K"
    )
    parser.add_argument("--learn-labels", action="store_true", help="labels as well")
    parser.add_argument("--init", choices=STARTS, default="natural")
    parser.add_argument(
        "--optimizer", default="optax.adam", help="optax.NAME or torch.NAME"
    )
    parser.add_argument(
        "--augment", nargs="*", default=[], help="flip, crop:PIXELS, noise:DEVIATION"
    )
    parser.add_argument("--get", choices=["ntk", "nngp"], default="ntk")
    parser.add_argument("--sketch", type=int, help="features in the place of a kernel")
    parser.add_argument("--sketch-steps", type=int, help="then the exact kernel")
    parser.add_argument(
        "--preprocess", choices=["auto", *PREPROCESSING], default="auto"
    )
    parser.add_argument(
        "--validation", type=float, default=0.0, help="fraction that is held out"
    )
    parser.add_argument("--patience", type=int, help="looks without a better one")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")


def run_distill(options: argparse.Namespace) -> None:
    for name in ("data", "out"):
        if getattr(options, name) is None:
            raise ValueError(f"--{name} is missing; see `tangency distill --help`")
    # The directory is asked for before data are read, which may take long.
    if Path(options.out, "config.json").exists():
        raise FileExistsError(
            f"--out: {options.out!r} holds a run already; go on with `{RESUME} "
            f"{options.out}`, or choose another directory"
        )
    data = prepared(options.data, options.preprocess, options.dtype)
    shape, outputs = data.train.images.shape, data.train.classes
    networks = tuple(read_network(text, shape, outputs) for text in options.network)
    config = Config(
        networks if len(networks) > 1 else networks[0],
        augment=tuple(map(_augmentation, options.augment)),
        **{name: getattr(options, name) for name in SETTINGS},
    )
    run = Run.create(
        options.out,
        config,
        data.train.images,
        data.train.labels,
        outputs,
        about={**data.about, "network": options.network},
    )
    _train(run, None)


def run_resume(options: argparse.Namespace) -> None:
    run = Run.open(options.out)
    total = options.steps if options.steps is not None else run.config.steps
    if total <= run.step:
        print(
            f"{options.out}: all {run.step} steps are made; --steps {2 * run.step} "
            "would go on",
            file=sys.stderr,
        )
        return
    _train(run, total)


def _train(run: Run, total: int | None) -> None:
    try:
        run.train(total)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"step {run.step} is kept; go on with `{RESUME} {run.path}`"
        ) from None
    last = run.metrics[-1] if run.metrics else None
    if last is not None:
        print(
            f"step {last['step']}: loss {last['loss']:.4g}, accuracy on its batch "
            f"{100 * last['accuracy']:.1f} %"
        )
    _draw(run)
    print(f"{run.path}: `python -m tangency distill evaluate {run.path}` tests it")


def _draw(run: Run) -> None:
    """Pictures, where they can be drawn: a run is complete without them."""
    try:
        for path in draw_run(run, run.about.get("names")):
            print(f"picture: {path}")
    except ModuleNotFoundError as error:
        print(f"no pictures: {error}", file=sys.stderr)


def _augmentation(text: str) -> Any:
    from ..distillation import Crop, Flip, Noise

    name, _, value = text.partition(":")
    kinds = {"flip": (Flip, None), "crop": (Crop, int), "noise": (Noise, float)}
    if name not in kinds or (value and kinds[name][1] is None):
        raise ValueError(
            f"--augment: {text!r}, expected flip, crop:PIXELS or noise:DEVIATION"
        )
    kind, number = kinds[name]
    try:
        return kind(number(value)) if value else kind()
    except ValueError as error:
        raise ValueError(f"--augment: {text!r}: {error}") from None
