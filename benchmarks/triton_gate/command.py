"""python -m benchmarks triton-compile: compile every Triton kernel, and record it."""

import os
import sys
from argparse import ArgumentParser, Namespace
from itertools import product
from pathlib import Path
from typing import Any

from ..results import DIRECTORY
from .registry import Configuration, select

_HEAD = """# Triton kernels as compiled

Made by `python -m benchmarks triton-compile` with triton {version}, without a GPU:
registers of a thread, bytes of a thread that spill, shared memory of a block,
tensor-core instructions in the code, and instructions of the longest innermost loop. In
a kernel of planes that loop is a row of two pairs of images: divided by twice the
number of layers it gives instructions per entry and layer.

| kernel | arch | warps | stages | registers | spills | shared | tensor | loop |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""


def add_parser(commands: Any) -> None:
    """Add the command to those of ``python -m benchmarks``."""
    parser: ArgumentParser = commands.add_parser(
        "triton-compile", help="registers and spills of Triton kernels, without a GPU"
    )
    parser.add_argument("--quick", action="store_true", help="the gate of `make test`")
    parser.add_argument("--filter", help="kernels whose name has this in it, or a glob")
    parser.add_argument(
        "--out", type=Path, help="the table (benchmarks/results/triton_compile.md)"
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """The exit status: 1 if a kernel is not as it should be, or does not compile."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise SystemExit(
            "triton-compile: unset TRITON_INTERPRET, which compiles nothing"
        )
    try:
        import triton
    except ImportError:
        raise SystemExit(
            "triton-compile needs triton; write pip install 'tangency[triton]'"
        ) from None
    # Each of these registers its configurations.
    from . import dense, planes  # noqa: F401
    from .compiling import ARCHITECTURES

    chosen = select(arguments.filter, arguments.quick)
    if not chosen:
        raise SystemExit(f"--filter {arguments.filter!r} matches no kernel")
    rows, faults = [], []
    for done, (configuration, architecture) in enumerate(
        product(chosen, ARCHITECTURES)
    ):
        row, found = line(configuration, architecture)
        of_all = f"{done + 1} of {len(chosen) * len(ARCHITECTURES)}"
        print(f"{row}  {of_all}", flush=True)
        rows.append(f"{row}\n")
        faults += [f"{row}: {fault}" for fault in found]
    whole = not (arguments.quick or arguments.filter)
    if arguments.out or whole:
        path = arguments.out or DIRECTORY / "triton_compile.md"
        path.write_text(_HEAD.format(version=triton.__version__) + "".join(rows))
    for fault in faults:
        sys.stderr.write(f"FAULT: {fault}\n")
    return 1 if faults else 0


def line(configuration: Configuration, architecture: str) -> tuple[str, list[str]]:
    """A row of the table, and what is wrong with the kernel."""
    from .compiling import compiled

    options = configuration.options
    asked = (
        configuration.name,
        architecture,
        options["num_warps"],
        options["num_stages"],
    )
    try:
        report = compiled(configuration, architecture)
    except Exception as error:
        # The others are worth knowing all the same.
        found = (("not compiled", "", "", "", ""), [f"{type(error).__name__}: {error}"])
    else:
        sizes = (report.registers, report.stack, report.shared)
        longest = max(map(len, report.loops), default=0)
        found = ((*sizes, report.tensor, longest), report.faults)
    return f"| {' | '.join(map(str, (*asked, *found[0])))} |", found[1]
