"""The demo's picture: a kernel matrix sorted by class, and accuracy against n."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import LabelledImages
from ..kernels.matrix.files import written_whole
from .experiment import Score

COLOURS = {"FC": "#7a8593", "conv": "#d1495b"}
STYLES = {"nngp": (0, (4, 2)), "ntk": "solid"}
INK = "#22262b"


def draw(out: Path, k: np.ndarray, train: LabelledImages, scores: list[Score]) -> None:
    """Write the picture to ``out``.

    Args:
        out: a ``.png`` file.
        k: kernel matrix of the training images, ``[n, n]``.
        train: the training images.
        scores: what to plot against n.
    """
    import matplotlib

    # Draw to a file wherever we are, and leave the user's choice of screen alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {
            "font.size": 10,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": "#9aa3ad",
            "xtick.color": INK,
            "ytick.color": INK,
        }
    ):
        figure = Figure(figsize=(12.4, 5.8), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[1.12, 1])
        _matrix(figure, left, k, train)
        _curves(right, scores)
        with written_whole(out) as file:
            figure.savefig(file, format="png")


def _matrix(figure: Any, axes: Any, k: np.ndarray, train: LabelledImages) -> None:
    order = np.argsort(train.labels, kind="stable")
    deviation = np.sqrt(np.diagonal(k))
    correlation = (k / deviation[:, None] / deviation)[np.ix_(order, order)]
    low, high = np.percentile(correlation, [1, 99])
    image = axes.imshow(correlation, cmap="magma", vmin=low, vmax=high)
    ends = np.cumsum(np.bincount(train.labels))
    starts = np.concatenate([[0], ends[:-1]])
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="white", lw=0.4, alpha=0.5)
        axes.axvline(end - 0.5, color="white", lw=0.4, alpha=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    _thumbnails(axes, train, order, (starts + ends) / 2)
    axes.spines[:].set_visible(False)
    axes.set_title("Convolutional NTK of the training digits, by class", pad=12)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
    bar.set_label("correlation")
    bar.outline.set_visible(False)


def _thumbnails(
    axes: Any, train: LabelledImages, order: np.ndarray, middles: np.ndarray
) -> None:
    """The average digit of each class, instead of tick labels."""
    size, n = 0.078, len(order)
    for digit, middle in enumerate(middles):
        picture = train.images[train.labels == digit].mean(axis=0)[..., 0]
        at = middle / n - size / 2
        places = ([at, -size - 0.012], [-size - 0.012, 1 - at - size])
        for x, y in places:
            inset = axes.inset_axes([x, y, size, size])
            inset.imshow(picture, cmap="gray_r")
            inset.set_axis_off()


def _curves(axes: Any, scores: list[Score]) -> None:
    sizes = sorted({s.n for s in scores})
    kernels = list(dict.fromkeys((s.network, s.get) for s in scores))
    for i, (name, get) in enumerate(kernels):
        own = sorted(
            (s for s in scores if (s.network, s.get) == (name, get)), key=lambda s: s.n
        )
        # Side by side, so that error bars do not hide one another.
        shift = 0.06 * (i - (len(kernels) - 1) / 2)
        axes.errorbar(
            [sizes.index(s.n) + shift for s in own],
            [100 * s.mean for s in own],
            [100 * s.deviation for s in own],
            color=COLOURS[name],
            linestyle=STYLES[get],
            marker="o",
            markersize=5,
            markerfacecolor=COLOURS[name] if get == "ntk" else "white",
            capsize=3,
            linewidth=1.6,
            elinewidth=1,
            label=f"{name} {get.upper()}",
        )
    axes.set_xticks(range(len(sizes)), [f"{n:,}" for n in sizes])
    axes.set_xlabel("training digits")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("Accuracy, mean and deviation over seeds", pad=12)
    axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
