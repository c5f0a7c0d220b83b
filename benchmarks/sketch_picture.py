"""python -m benchmarks.sketch_picture [LINES] [PICTURE]: errors against CPU time."""

import sys
from pathlib import Path

import numpy as np

from .results import DIRECTORY, latest, read
from .sketch_data import DATA

KINDS = ("relative", "centred", "spectral")
# The same in every column, whatever is missing there.
COLOURS = {"polysketch": "C0", "random": "C1", "nystrom": "C2", "hybrid": "C3"}


def draw(lines: list[dict], path: Path) -> None:
    """One column per data set that has lines; a line joins the dims of a method, a bar
    is one standard deviation over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = [line for line in lines if "errors" in line["facts"]]
    columns = [n for n in DATA if any(li["problem"]["data"] == n for li in lines)]
    if not columns:
        raise SystemExit("no line has errors, run python -m benchmarks sketch before")
    size = (1 + 3.5 * len(columns), 9)
    figure, axes = plt.subplots(len(KINDS), len(columns), figsize=size, squeeze=False)
    for column, name in enumerate(columns):
        for row, kind in enumerate(KINDS):
            ax = axes[row, column]
            for method, colour in COLOURS.items():
                own = [
                    line
                    for line in lines
                    if (line["problem"]["data"], line["contender"]) == (name, method)
                ]
                cpu = [line["cpu_s"]["p50"] / line["amount"] * 1e3 for line in own]
                found = np.asarray([line["facts"]["errors"][kind] for line in own])
                if own:
                    bars = found.mean(axis=1), found.std(axis=1)
                    ax.errorbar(cpu, *bars, fmt="o-", ms=4, color=colour, label=method)
            ax.set(xscale="log", yscale="log", xlabel="CPU ms per input")
            ax.set(title=name if row == 0 else "", ylabel=f"{kind} error")
    handles = [plt.Line2D([], [], color=c, marker="o", ms=4) for c in COLOURS.values()]
    axes[0, 0].legend(handles, COLOURS)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    given = [Path(a) for a in sys.argv[1:]]
    defaults = [DIRECTORY / "sketch.jsonl", Path("out", "sketch.png")]
    source, target = given + defaults[len(given) :]
    draw(latest(read(source)), target)
    print(target)
