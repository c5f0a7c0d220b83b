"""The table of suites that time planes, the exact engine and the peer."""

from ..results import Line
from ..table import cell, markdown, megabytes, ratio, seconds


def comparison(cases: dict[str, dict[str, Line]], first: str) -> str:
    """Time per pair and peak memory of everybody, and ratios; "" without cases.

    Args:
        cases: lines by case and contender.
        first: heading of the column of cases.
    """
    header = [
        first,
        "neural-tangents",
        "exact",
        "planes",
        "planes, CPU",
        "peer / planes",
        "exact / planes",
        "ns per entry-layer",
        "error",
        "memory: peer",
        "planes",
    ]
    rows = []
    for name, case in cases.items():
        peer, exact, planes = map(case.get, ("neural-tangents", "exact", "planes"))
        rows.append(
            [
                name,
                cell(peer, unit_time),
                cell(exact, unit_time),
                cell(planes, unit_time),
                cell(planes, lambda x: seconds(x["cpu_s"]["p50"] / x["amount"])),
                ratio(peer, planes),
                ratio(exact, planes),
                cell(planes, entry_time),
                cell(planes, lambda x: f"{x['gate']['error']:.0e}"),
                cell(peer, megabytes),
                cell(planes, megabytes),
            ]
        )
        rows += [
            [f"{name}, {extra}", "", "", cell(line, unit_time)]
            + [*[""] * 6, cell(line, megabytes)]
            for extra, line in case.items()
            if extra.startswith("planes, ")
        ]
    return markdown(header, rows) if rows else ""


def unit_time(line: Line) -> str:
    """Median wall time of a pair."""
    return seconds(line["unit_s"])


def entry_time(line: Line) -> str | None:
    """Wall time of one entry of one layer, both cores busy."""
    entries = line["facts"].get("entry_layers")
    return f"{line['unit_s'] / entries * 1e9:.2f}" if entries else None
