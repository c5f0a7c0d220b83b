"""Pictures of a run: its images in a grid, its loss and accuracy in curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.matrix.files import written_whole

INK, GRID = "#22262b", "#e3e6ea"
LOSS, BATCH, HELD_OUT = "#7a8593", "#9fb3c8", "#d1495b"
# Columns of a strip; more classes continue in a strip below.
COLUMNS = 20


def draw_images(
    path: Any,
    images: np.ndarray,
    classes: np.ndarray,
    names: Sequence[str],
    rows: int = 10,
) -> None:
    """Write a grid with a column for each class and a row for each of its images.

    Contrast is stretched image by image: its 1 % darkest entries are black, its 1 %
    brightest white, and a colour image has one stretch for all channels. Distilled
    images of whitened data have no other brightness.

    Args:
        path: a ``.png`` file.
        images: ``[n, H, W, channels]``, one channel or three.
        classes: of the images, ``[n]``.
        names: of all classes.
        rows: images of a class that are shown at most.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: the images cannot be drawn.
    """
    images, classes = np.asarray(images), np.asarray(classes)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"draw_images: images has shape {images.shape}, expected [n, H, W, 1] or "
            "[n, H, W, 3]"
        )
    columns = [images[classes == c][:rows] for c in range(len(names))]
    depth = max(map(len, columns))
    strips = [slice(i, i + COLUMNS) for i in range(0, len(names), COLUMNS)]
    wide = min(len(names), COLUMNS)
    cell, line = 0.62, 0.24
    # Tall images have tall cells.
    tall = cell * images.shape[1] / images.shape[2]
    height = len(strips) * (depth * tall + line)
    # All names in the size at which the longest fits its column.
    size = min(9.0, 62 / max(map(len, names)))
    figure = _figure((wide * cell, height), layout=None)
    axes = figure.subplots(len(strips), wide, squeeze=False)
    for strip, some in zip(strips, axes, strict=True):
        for ax in some:
            ax.set_axis_off()
        for ax, name, own in zip(some, names[strip], columns[strip], strict=False):
            ax.imshow(_column(own, depth), cmap="gray", vmin=0, vmax=1)
            ax.set_title(name, fontsize=size, pad=3)
    top = line / height / 1.15
    figure.subplots_adjust(0, 0, 1, 1 - top, wspace=0.06, hspace=line / tall / depth)
    _save(figure, path, 200)


def _column(images: np.ndarray, depth: int) -> np.ndarray:
    """Images below one another with a white line between, ``[H', W(, 3)]``."""
    n, high, wide, channels = images.shape
    gap = max(1, round(0.06 * high))
    sheet = np.ones((depth * (high + gap) - gap, wide, channels))
    for i, image in enumerate(images):
        sheet[i * (high + gap) :][:high] = _stretched(image)
    return sheet[..., 0] if channels == 1 else sheet


def _stretched(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, [1, 99])
    if not high > low:
        return np.full(image.shape, 0.5)
    return np.clip((image - low) / (high - low), 0, 1)


def draw_curves(path: Any, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Write loss and accuracy against the steps of a run.

    Pale lines are those of single batches, and dark ones their running means.

    Args:
        path: a ``.png`` file.
        metrics: the rows of ``Run.metrics``.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: there are no rows.
    """
    if not metrics:
        raise ValueError("draw_curves: metrics is empty, expected a row per step")
    figure = _figure((8.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    step = np.array([row["step"] for row in metrics])
    _trace(left, step, [row["loss"] for row in metrics], LOSS, None)
    left.set_yscale("log")
    left.set_ylabel("loss")
    batches = [100 * row["accuracy"] for row in metrics]
    _trace(right, step, batches, BATCH, "training batch")
    held = [row for row in metrics if row.get("validation_accuracy") is not None]
    if held:
        right.plot(
            [row["step"] for row in held],
            [100 * row["validation_accuracy"] for row in held],
            color=HELD_OUT,
            lw=1.6,
            marker="o",
            ms=3,
            label="validation",
        )
    right.set_ylabel("accuracy, %")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(axis="y", which="major", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path, 150)


def _trace(axes: Any, step: np.ndarray, values: Any, colour: str, label: Any) -> None:
    """Single values pale, and their mean over a twentieth of the steps."""
    values = np.asarray(values, float)
    axes.plot(step, values, color=colour, lw=0.7, alpha=0.35)
    width = max(1, len(values) // 20)
    ones = np.ones(width)
    weight = np.convolve(np.ones(len(values)), ones, "same")
    smooth = np.convolve(values, ones, "same") / weight
    axes.plot(step, smooth, color=colour, lw=1.8, label=label)


def draw_run(run: Any, names: Sequence[str] | None = None) -> tuple[Path, ...]:
    """Write ``images.png`` and ``curves.png`` into the directory of a run.

    Args:
        run: the ``Run``; its inputs are images with one channel or three, else there
            is no grid.
        names: of its classes; numbers otherwise.

    Returns:
        The files that were written.
    """
    drawn = []
    images, _ = run.support
    if images.ndim == 4 and images.shape[-1] in (1, 3):
        classes = run.start[1].argmax(axis=1)
        names = names or tuple(map(str, range(run.classes)))
        drawn.append(Path(run.path) / "images.png")
        draw_images(drawn[-1], images, classes, names)
    if run.metrics:
        drawn.append(Path(run.path) / "curves.png")
        draw_curves(drawn[-1], run.metrics)
    return tuple(drawn)


def _figure(size: tuple[float, float], layout: str | None) -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need matplotlib, which is not installed; "
            'pip install "tangency[plot]"'
        ) from error
    return Figure(figsize=size, layout=layout)


def _save(figure: Any, path: Any, dots: int) -> None:
    import matplotlib

    # Draw to a file wherever we are, and leave the user's choice of screen alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with matplotlib.rc_context({"text.color": INK, "axes.labelcolor": INK}):
        with written_whole(Path(path)) as file:
            figure.savefig(file, format="png", dpi=dots, facecolor="white")
