"""``tangency matrix``: kernel matrices on disk, computed, finished, checked, solved."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels import (
    ExactKernel,
    compute,
    open_matrix,
    resume_matrix,
    verify_matrix,
)
from ..regression import solve
from ..regression.model import resolve_ridge
from .arrays import check_writable, load_array, save_arrays
from .kernel import EXAMPLE, GRAMMAR
from .network import network

USAGE = f"""\
Without a word in front, compute a matrix:

  tangency matrix --network "{EXAMPLE}" --x train.npy --out k.tiles

and then, with the folder that it made:

  tangency matrix resume k.tiles     finish it after an interrupt, mend damaged tiles
  tangency matrix verify k.tiles     compare every tile with its checksum
  tangency matrix solve k.tiles --y y.npy --ridge loo --out alpha.npy

"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "matrix",
        help="kernel matrices on disk: compute, resume, verify, solve",
        description="Compute the exact NNGP or NTK of a whole data set into tiles on "
        "disk. It may be interrupted and run again at any time.",
        epilog=USAGE + GRAMMAR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    _add_compute(parser)
    _add_workers(parser)
    parser.set_defaults(run=run_compute)
    for name, run, text in (
        ("resume", run_resume, "finish a store, and mend damaged tiles"),
        ("verify", run_verify, "compare every tile with its checksum"),
        ("solve", run_solve, "solve (K + ridge I) alpha = y"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("store", help="the folder that compute made")
        action.set_defaults(run=run)
        if name == "resume":
            _add_workers(action)
        if name == "solve":
            _add_solve(action)


def _add_compute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", help=f'e.g. "{EXAMPLE}"')
    parser.add_argument("--x", metavar="FILE", help="inputs: a.npy or a.npz:key")
    parser.add_argument("--x2", metavar="FILE", help="other inputs, for its columns")
    parser.add_argument(
        "--get", nargs="+", default=["ntk"], choices=["nngp", "ntk"], help="default ntk"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where the tiles go: k.tiles")
    parser.add_argument("--tile", type=int, help="rows of a tile; chosen by the cost")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="converts x")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, help="processes on this machine (loky)")
    where.add_argument(
        "--gpus", action="store_true", help="one process for each GPU (loky)"
    )
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of Dask: tcp://host:8786, or 'dask'"
    )


def _add_solve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--y", required=True, metavar="FILE", help="targets [n, k]")
    parser.add_argument("--get", choices=["nngp", "ntk"], help="which kernel")
    parser.add_argument(
        "--ridge", default="0", help="in units of the mean diagonal, or loo"
    )
    parser.add_argument(
        "--solver",
        default="auto",
        choices=["auto", "cholesky", "pcg", "block"],
        help="pcg and block iterate: conjugate gradients, one block row at a time",
    )
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of pcg, block")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="of pcg and block, to go on from"
    )
    parser.add_argument("--scratch", metavar="FOLDER", help="for a factor on disk")
    parser.add_argument("--out", metavar="FILE", help="alpha.npy; without it, a report")


def run_compute(options: argparse.Namespace) -> None:
    for name in ("network", "x", "out"):
        if getattr(options, name) is None:
            raise ValueError(f"--{name} is missing; see `tangency matrix --help`")
    x, x2 = (
        None if file is None else load_array(name, file)
        for name, file in (("--x", options.x), ("--x2", options.x2))
    )
    if options.dtype:
        x = x.astype(options.dtype)
        x2 = None if x2 is None else x2.astype(options.dtype)
    kernel = ExactKernel(network(options.network, dims=max(x.ndim - 2, 0)))
    names = tuple(dict.fromkeys(options.get))
    with _resumable(options.out):
        compute(
            kernel,
            x,
            x2,
            names,
            options.tile,
            executor=_executor(options),
            progress=True,
            path=options.out,
        )
    _say(options.out, open_matrix(options.out))


def run_resume(options: argparse.Namespace) -> None:
    with _resumable(options.store):
        found = resume_matrix(options.store, executor=_executor(options), progress=True)
    _say(options.store, found)


def _executor(options: argparse.Namespace) -> Any:
    # No jobs at all are an error of the user's, which compute reports.
    if options.jobs is not None:
        return options.jobs
    return "gpu" if options.gpus else options.scheduler


def run_verify(options: argparse.Namespace) -> None:
    found = verify_matrix(options.store, progress=True)
    for name, problem in found.items():
        print(f"{name}: {problem}")
    if found:
        raise ValueError(
            f"{len(found)} tiles of {options.store} are not fit; "
            f"`tangency matrix resume {options.store}` computes them again"
        )
    print(f"{options.store}: every tile is there and whole")


def run_solve(options: argparse.Namespace) -> None:
    if options.out is not None:
        check_writable("--out", Path(options.out))
    k = open_matrix(options.store, options.get)
    if isinstance(k, tuple):
        raise ValueError(f"--get is missing: {options.store} holds nngp and ntk")
    y = load_array("--y", options.y)
    ridge, _ = resolve_ridge(k, y, _ridge(options.ridge), "trace")
    solution = solve(
        k,
        y,
        ridge,
        solver=options.solver,
        tolerance=options.tolerance,
        checkpoint=options.checkpoint,
        scratch=options.scratch,
        progress=True,
    )
    report = solution.report
    print(
        f"{report.solver}: ridge {ridge:.3g} of the mean diagonal, residual "
        f"{np.max(report.residuals):.2e}, {np.max(report.iterations)} iterations, "
        f"jitter {report.jitter:.3g}, condition number about {report.condition:.3g}"
    )
    if options.out is not None:
        save_arrays(Path(options.out), {"alpha": solution.x})


def _ridge(text: str) -> float | str:
    if text == "loo":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--ridge is {text!r}, expected a number or loo") from None


class _resumable:
    """Context: after Ctrl-C, says how to go on."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is KeyboardInterrupt and Path(self.path, "manifest.json").exists():
            raise KeyboardInterrupt(
                "all finished tiles are kept; go on with `tangency matrix resume "
                f"{self.path}`"
            )


def _say(path: str, found: Any) -> None:
    several = found if isinstance(found, tuple) else (found,)
    matrices = [matrix for matrix in several if matrix is not None]
    names = " and ".join(m.name for m in matrices)
    shape, dtype = list(matrices[0].shape), matrices[0].dtype
    print(f"{names} {shape} {dtype} -> {path}", file=sys.stderr)
