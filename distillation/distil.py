"""Distillation in one call."""

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .config import Config
from .folder import Folder
from .run import Run

Array = Any


def distill(
    network: Any,
    x: Array,
    y: Array,
    path: Any = None,
    progress: bool = True,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    r"""A few images on which a kernel learns what it would learn from all.

    Kernel inducing points: the images descend on

    .. math:: \frac{1}{2N} \| K_{ts} (K_{ss} + \lambda \mathrm{tr}(K_{ss})/n \, I)
        ^{-1} y_s - y_t \|^2.

    Args:
        network: a network made by ``serial``, a kernel, or a ``Config`` with all
            settings.
        x: training inputs ``[N, ...]``, float32 or float64.
        y: their classes ``[N]``, integers 0, ..., C - 1.
        path: a directory for the run, new or begun by an earlier call with the same
            settings, which is finished; None for none.
        progress: whether to show a bar (on a terminal, if tqdm is installed).
        settings: of ``Config``, such as per_class, steps, seed, learn_labels.

    Returns:
        Images ``[n, ...]`` sorted by class, and labels ``[n, C]``: see ``Run.support``.

    Raises:
        TypeError, ValueError: inputs, labels or settings are not fit.
        RunMismatchError: ``path`` holds the run of other settings.
        NonFiniteLossError: a step failed; the message says which.

    Reference: Nguyen et al. 2021 (2011.00050, 2107.13034).

    >>> import tangency as tg
    >>> train, test = tg.digits()
    >>> net = tg.serial(tg.Flatten(), tg.Dense(64), tg.Relu(), tg.Dense(10))
    >>> images, labels = tg.distill(net, train.images, train.labels, steps=3, batch=50)
    >>> images.shape, labels.shape
    ((10, 8, 8, 1), (10, 10))
    """
    config = _config(network, settings)
    if path is None:
        with tempfile.TemporaryDirectory(prefix="tangency-") as folder:
            run = Run.create(Path(folder), config, x, y, keep_data=False)
            return run.train(progress=progress).support
    if Folder(path).begun:
        run = Run.open(path, config, x, y)
    else:
        run = Run.create(path, config, x, y)
    return run.train(progress=progress).support


def _config(network: Any, settings: dict[str, Any]) -> Config:
    if isinstance(network, Config):
        if settings:
            raise TypeError(
                f"distill got a Config and {', '.join(settings)} beside it; put them "
                "into the Config, e.g. with dataclasses.replace"
            )
        return network
    known = [f.name for f in fields(Config)]
    for name in settings:
        if name not in known:
            raise TypeError(
                f"distill has no setting {name!r}, expected some of "
                f"{', '.join(known[1:])}"
            )
    return Config(network, **settings)
