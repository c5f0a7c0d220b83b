"""python -m benchmarks.sketch_picture [LINES] [PICTURE]: errors against CPU time."""

import sys
from pathlib import Path

import numpy as np

from .results import DIRECTORY, latest, read
from .sketch_data import DATA

KINDS = ("relative", "centred", "spectral")


def draw(lines: list[dict], path: Path) -> None:
    """One column per data set; a line joins the dims of a method, a bar is one standard
    deviation over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(KINDS), len(DATA), figsize=(4 * len(DATA), 9), squeeze=False
    )
    for column, name in enumerate(DATA):
        here = [
            line
            for line in lines
            if line["problem"]["data"] == name and "errors" in line["facts"]
        ]
        for row, kind in enumerate(KINDS):
            ax = axes[row, column]
            for method in dict.fromkeys(line["contender"] for line in here):
                own = [line for line in here if line["contender"] == method]
                cpu = [line["cpu_s"]["p50"] / line["amount"] * 1e3 for line in own]
                found = np.asarray([line["facts"]["errors"][kind] for line in own])
                ax.errorbar(cpu, found.mean(axis=1), found.std(axis=1), label=method)
            ax.set(xscale="log", yscale="log", xlabel="CPU ms per input")
            ax.set(title=name if row == 0 else "", ylabel=f"{kind} error")
    for ax in axes[0]:
        if ax.get_legend_handles_labels()[1]:
            ax.legend()
            break
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
