"""python -m benchmarks triton-compile: compile every Triton kernel, and record it."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ..results import DIRECTORY

_HEAD = """# Triton kernels as compiled

Made by `python -m benchmarks triton-compile` with triton {version}, without a GPU:
registers of a thread, bytes of a thread that spill, shared memory of a block, and
tensor-core instructions in the code.

| kernel | arch | warps | stages | registers | spills | shared | tensor |
|---|---|---:|---:|---:|---:|---:|---:|
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
    """The exit status: 0, or 1 if some kernel spills or leaves tensor cores idle."""
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
    from .compiling import ARCHITECTURES, compiled
    from .registry import select

    chosen = select(arguments.filter, arguments.quick)
    if not chosen:
        raise SystemExit(f"--filter {arguments.filter!r} matches no kernel")
    rows, faults = [], []
    for configuration in chosen:
        for architecture in ARCHITECTURES:
            report = compiled(configuration, architecture)
            options = configuration.options
            cells = (
                configuration.name,
                architecture,
                options["num_warps"],
                options["num_stages"],
                report.registers,
                report.stack,
                report.shared,
                report.tensor,
            )
            rows.append(f"| {' | '.join(map(str, cells))} |\n")
            sys.stdout.write(rows[-1])
            faults += [f"{rows[-1].strip()}: {fault}" for fault in report.faults]
    whole = not (arguments.quick or arguments.filter)
    if arguments.out or whole:
        path = arguments.out or DIRECTORY / "triton_compile.md"
        path.write_text(_HEAD.format(version=triton.__version__) + "".join(rows))
    for fault in faults:
        sys.stderr.write(f"FAULT: {fault}\n")
    return 1 if faults else 0
