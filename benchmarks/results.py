"""Results: one JSON object per line, only ever appended."""

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).resolve().parent / "results"
SCHEMA = 1

Line = dict[str, Any]

_QUANTILES = {"p20", "p50", "p80"}

# Every line has exactly these; results/README.md explains each.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "run": str,
    "time": str,
    "suite": str,
    "case": str,
    "contender": str,
    "peer": bool,
    "command": str,
    "commit": str,
    "dirty": bool,
    "machine": dict,
    "load": (int, float),
    "versions": dict,
    "threads": dict,
    "device": str,
    "problem": dict,
    "unit": str,
    "amount": int,
    "repeats": int,
    "wall_s": dict,
    "cpu_s": dict,
    "unit_s": float,
    "peak_bytes": (int, type(None)),
    "gate": dict,
    "facts": dict,
}


def check(line: Line) -> Line:
    """``line`` if it has the fields of the schema, or a ValueError that names one."""
    if set(line) != set(FIELDS):
        lacking, foreign = set(FIELDS) - set(line), set(line) - set(FIELDS)
        raise ValueError(
            f"line: lacks {sorted(lacking)}, has foreign {sorted(foreign)}"
        )
    for name, kind in FIELDS.items():
        if not isinstance(line[name], kind):
            raise ValueError(f"line: {name} is {line[name]!r}, expected {kind}")
    for name in ("wall_s", "cpu_s"):
        if set(line[name]) != _QUANTILES:
            raise ValueError(f"line: {name} is {line[name]!r}, expected p20, p50, p80")
    return line


def append(path: Path, line: Line) -> None:
    """Append one line, whole or not at all, also beside other writers."""
    text = json.dumps(check(line), allow_nan=False, separators=(",", ":")) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        content = text.encode()
        try:
            if os.write(file, content) != len(content):
                raise OSError(
                    f"{path}: no space left for a line of {len(content)} bytes"
                )
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)


def read(path: Path) -> list[Line]:
    """All lines of a file, in the order they were written; each is checked."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            lines.append(check(json.loads(text)))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return lines


def latest(lines: Iterable[Line]) -> list[Line]:
    """Of every case the lines of its last run, so that ratios never mix two runs."""
    runs: dict[str, str] = {}
    kept = list(lines)
    for line in kept:
        runs[line["case"]] = line["run"]
    return [line for line in kept if line["run"] == runs[line["case"]]]
