"""``tangency demo``: few-shot and full classification of real digits."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from .arrays import check_writable
from .experiment import FEW, NETWORKS, Score, compute_matrices, scores

NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="classify real digits, from few and from many",
        description="Classify scikit-learn's 8 x 8 digits by kernel regression: a "
        "table on the screen, and a picture in kernels.png.",
    )
    parser.add_argument(
        "--out", default="out", metavar="FOLDER", help="for the picture; default out"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=10,
        help="few-shot training sets to average over; default 10",
    )
    parser.add_argument(
        "--train", type=int, default=1297, help="training digits at most; default 1297"
    )
    parser.add_argument(
        "--test", type=int, default=500, help="test digits; default 500"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    _check(options)
    # What the demo alone needs is imported once it is known to be there.
    from ..datasets import digits
    from .picture import draw

    picture = Path(options.out) / "kernels.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    check_writable("--out", picture)
    train, test = digits(test=options.test)
    if options.train < len(train):
        train = train.few(options.train)
    print(f"{len(train)} training and {len(test)} test digits of 8 x 8 pixels")
    found, matrices = [], {}
    for name, text in NETWORKS.items():
        matrices[name] = compute_matrices(name, train, test)
        print(f"\n{name}: {text}")
        print(f"NNGP and NTK of all pairs in {matrices[name].seconds:.1f} s")
        print(f"\n{'n':>6}  {'kernel':<9}  {'accuracy':<16}  {'seconds':>7}")
        for score in scores(name, matrices[name], train, test, options.seeds):
            found.append(score)
            print(_row(score), flush=True)
    draw(picture, matrices["conv"].train.ntk, train, found)
    print("\naccuracy: mean and deviation over seeds; ridge chosen by leave-one-out")
    print("seconds: choosing the ridge, solving and predicting")
    print(f"picture: {picture}")


def _check(options: argparse.Namespace) -> None:
    missing = [package for name, package in NEEDS.items() if not find_spec(name)]
    if missing:
        raise ModuleNotFoundError(
            f"the demo needs {' and '.join(missing)}; pip install {' '.join(missing)}"
        )
    if options.seeds < 1:
        raise ValueError(f"--seeds: {options.seeds}, expected an integer >= 1")
    if options.train < max(FEW):
        raise ValueError(f"--train: {options.train}, expected at least {max(FEW)}")


def _row(score: Score) -> str:
    spread = len(score.accuracies) > 1
    accuracy = f"{100 * score.mean:.1f}" + f" +- {100 * score.deviation:.1f}" * spread
    kernel = f"{score.network} {score.get.upper()}"
    return f"{score.n:>6}  {kernel:<9}  {accuracy + ' %':<16}  {score.seconds:>7.3f}"
