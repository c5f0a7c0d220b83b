"""python -m benchmarks SUITE: measure; python -m benchmarks table SUITE: show."""

import argparse
import sys
from pathlib import Path

from . import suites  # noqa: F401  (registers them)
from .gpu import command as gpu
from .machine import load
from .registry import SUITES, Case, Suite
from .results import DIRECTORY, append, latest, read
from .runner import Failure, Options, new_run, run_case, to_stderr
from .triton_gate import command as triton_compile

# A neighbour on one of two cores was seen to put both of our threads on the other.
BUSY = 0.5


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, or 1 if something was refused or broke."""
    arguments = _parser().parse_args(argv)
    if "run" in arguments:
        return arguments.run(arguments)
    chosen = SUITES[arguments.suite]
    path = arguments.out or DIRECTORY / f"{chosen.name}.jsonl"
    if arguments.command == "table":
        print(chosen.table(latest(read(path))))
        return 0
    cases = chosen.select(arguments.filter, arguments.quick, arguments.long)
    if arguments.list:
        for case in cases:
            print(f"{case.name}: {', '.join(case.contenders)}")
        return 0
    options = Options(
        repeats=arguments.repeats or (3 if arguments.quick else 5),
        peers=not arguments.no_peer,
        probes=not arguments.quick,
        command=" ".join(["python -m benchmarks", *(argv or sys.argv[1:])]),
    )
    return _measure(chosen, cases, options, path)


def _measure(chosen: Suite, cases: list[Case], options: Options, path: Path) -> int:
    run_id, failures, lines = new_run(), [], []
    if load() > BUSY:
        to_stderr(f"load average {load()}: something else runs, times will be off")
    for i, case in enumerate(cases, 1):
        to_stderr(f"{case.name} ({i} of {len(cases)})")
        try:
            for line in run_case(chosen.name, case, options, run_id, to_stderr):
                append(path, line)
                lines.append(line)
        except Failure as failure:
            failures.append(str(failure))
            to_stderr(f"  FAILED: {failure}")
    if lines:
        print(chosen.table(lines))
    if failures:
        to_stderr("not measured:\n" + "\n".join(failures))
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for chosen in SUITES.values():
        _add_measure(commands.add_parser(chosen.name, help=chosen.title), chosen.name)
    table = commands.add_parser("table", help="print a suite's table from its lines")
    table.add_argument("suite", choices=sorted(SUITES))
    _add_out(table)
    triton_compile.add_parser(commands)
    gpu.add_parser(commands)
    return parser


def _add_measure(parser: argparse.ArgumentParser, name: str) -> None:
    parser.set_defaults(suite=name)
    parser.add_argument("--quick", action="store_true", help="few cases, no probes")
    parser.add_argument(
        "--long", action="store_true", help="cases of many minutes as well"
    )
    parser.add_argument("--repeats", type=int, help="samples of each (5; quick 3)")
    parser.add_argument("--filter", help="cases whose name has this in it, or a glob")
    parser.add_argument("--list", action="store_true", help="list the cases only")
    parser.add_argument("--no-peer", action="store_true", help="our engines alone")
    _add_out(parser)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, help="file of lines (benchmarks/results/SUITE.jsonl)"
    )


if __name__ == "__main__":
    sys.exit(main())
