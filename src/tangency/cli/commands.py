"""The commands, and what becomes of their errors."""

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..distillation import NonFiniteLossError
from ..kernels import WorkersLostError
from ..regression import NotConvergedError
from . import demo, distill, info, kernel, matrix

# What users can mend: exit status 2 and a message, as for a wrong option.
MENDABLE = (
    ValueError,
    TypeError,
    OSError,
    ModuleNotFoundError,
    MemoryError,
    WorkersLostError,
    NotConvergedError,
    NonFiniteLossError,
)
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    Args:
        arguments: what follows ``tangency`` on the command line.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt as interrupt:
        state = str(interrupt) or "nothing was written"
        print(f"interrupted; {state}", file=sys.stderr)
        return INTERRUPTED
    except MENDABLE as error:
        text = str(error) or type(error).__name__
        print(f"tangency {options.command}: error: {text}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tangency", description="Neural kernels at any width."
    )
    parser.add_argument(
        "--version", action="version", version=f"tangency {__version__}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (kernel, matrix, distill, info, demo):
        command.add_parser(commands)
    return parser
