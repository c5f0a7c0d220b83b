"""``tangency kernel``: the kernel matrix of arrays on disk."""

import argparse
import sys
from pathlib import Path

from ..kernels import ExactKernel, compute
from .arrays import check_writable, load_array, save_arrays
from .network import layer_names, network

EXAMPLE = "conv(64,3) relu avgpool(2) flatten dense(10)"
GRAMMAR = f"""\
Networks are layers in order, e.g.

  "{EXAMPLE}"
  "conv(64, 3, W_std=sqrt(2), b_std=0.1, padding=VALID) relu globalavgpool dense(1)"
  "dense(512) residual(relu dense(512)) relu dense(1)"

with the names and arguments they have in Python, in lower case. Shorter than there: a
window or a stride may be one number (3 is 3 x 3 on images), conv has padding=SAME
unless it is told otherwise, and a pool steps by its own window.

Layers: {", ".join(layer_names())}.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "kernel",
        help="compute the kernel matrix of arrays on disk",
        description="Compute the exact NNGP or NTK of an infinitely wide network.",
        epilog=GRAMMAR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", required=True, help=f'e.g. "{EXAMPLE}"')
    parser.add_argument(
        "--x1",
        required=True,
        metavar="FILE",
        help="inputs [n, features] or [n, H, W, channels]: a.npy or a.npz:key",
    )
    parser.add_argument(
        "--x2", metavar="FILE", help="other inputs; without them, all pairs of x1"
    )
    parser.add_argument(
        "--get", nargs="+", default=["ntk"], choices=["nngp", "ntk"], help="default ntk"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="k.npy for one kernel, k.npz for one or both",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        help="convert the inputs first; without it, integers are refused",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    names, out = tuple(dict.fromkeys(options.get)), Path(options.out)
    if out.suffix not in (".npy", ".npz"):
        raise ValueError(f"--out: {options.out!r} should end in .npy or .npz")
    if len(names) > 1 and out.suffix == ".npy":
        raise ValueError(
            f"--out: {options.out!r} holds one array, but {' and '.join(names)} were "
            f"asked for; write {out.with_suffix('.npz')}"
        )
    check_writable("--out", out)
    x1 = load_array("--x1", options.x1)
    x2 = None if options.x2 is None else load_array("--x2", options.x2)
    if options.dtype:
        x1 = x1.astype(options.dtype)
        x2 = None if x2 is None else x2.astype(options.dtype)
    kernel = ExactKernel(network(options.network, dims=max(x1.ndim - 2, 0)))
    kernels = compute(kernel, x1, x2, names, progress=True)
    arrays = {name: getattr(kernels, name) for name in names}
    save_arrays(out, arrays)
    first = arrays[names[0]]
    what = f"{' and '.join(names)} {list(first.shape)} {first.dtype}"
    print(f"{what} -> {out}", file=sys.stderr)
