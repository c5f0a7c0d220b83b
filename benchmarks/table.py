"""Tables in Markdown, made from result lines alone."""

from collections.abc import Callable, Sequence
from typing import Any

from .results import Line

MISSING = "-"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are padded; the first is aligned left, the others right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]

    def show(row: Sequence[str]) -> str:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
        return f"| {' | '.join([first, *rest])} |"

    return "\n".join([show(cells[0]), show(rule), *map(show, cells[1:])])


def by_case(lines: Sequence[Line]) -> dict[str, dict[str, Line]]:
    """Lines as {case: {contender: line}}, in their order."""
    cases: dict[str, dict[str, Line]] = {}
    for line in lines:
        cases.setdefault(line["case"], {})[line["contender"]] = line
    return cases


def cell(line: Line | None, text: Callable[[Line], Any]) -> str:
    """What ``text`` makes of the line; a dash where there is no line or no number."""
    found = None if line is None else text(line)
    return MISSING if found is None else str(found)


def seconds(value: float) -> str:
    """Three digits and a unit: 1.23 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def megabytes(line: Line) -> str | None:
    """Peak memory beyond inputs and result."""
    peak = line["peak_bytes"]
    return None if peak is None else f"{peak / 2**20:.0f} MB"


def ratio(numerator: Line | None, denominator: Line | None) -> str:
    """How many times longer the first takes per unit than the second."""
    if numerator is None or denominator is None:
        return MISSING
    return f"{numerator['unit_s'] / denominator['unit_s']:.3g}x"


def footer(lines: Sequence[Line]) -> str:
    """Where, when and with what the lines were measured."""
    notes = []
    for run in dict.fromkeys(line["run"] for line in lines):
        own = [line for line in lines if line["run"] == run]
        last = own[-1]
        machine, versions = last["machine"], dict(last["versions"])
        for line in own:
            if line["peer"]:
                peer = line["facts"]["peer"]["versions"]
                named = ("neural-tangents", "jax")
                versions |= {f"{who} of the peer": peer[who] for who in named}
        vectors = ", ".join(f for f in machine["flags"] if f in ("avx2", "avx512f"))
        busy = max(line["load"] for line in own)
        dirty = " with local changes" if last["dirty"] else ""
        notes.append(
            f"Run {run}: {machine['cpu']} ({machine['cores']} cores, {vectors}), "
            f"commit {last['commit'][:10]}{dirty}, "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + f"; medians of {last['repeats']} interleaved samples, "
            f"load average up to {busy:.1f}; "
            f"`{last['command']}`."
        )
    return "\n".join(notes)
