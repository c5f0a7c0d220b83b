"""Training of a finite network on a distilled set."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .finite_settings import Training

Array = Any


def train_network(
    net: Any,
    images: Array,
    labels: Array,
    training: Training | None = None,
    seed: int = 0,
) -> Callable[[Array], np.ndarray]:
    """Train a network from random weights, in JAX and float32.

    Args:
        net: a network made by ``serial``, with one output per class.
        images: ``[n, ...]``.
        labels: targets ``[n, C]``.
        training: settings; those of ``Training()`` otherwise.
        seed: of the weights and the batches.

    Returns:
        ``predict(x)``, a function of inputs ``[m, ...]`` to outputs ``[m, C]``.

    Raises:
        FloatingPointError: training diverged; a smaller ``fraction`` helps.
        ModuleNotFoundError: JAX or optax is missing.
    """
    training = training or Training()
    images, labels = np.asarray(images), np.asarray(labels)
    if labels.ndim != 2 or len(images) != len(labels):
        raise ValueError(
            f"train_network: labels has shape {labels.shape}, expected "
            f"[{len(images)}, classes], one row for each image"
        )
    try:
        from . import jax_training
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"train_network: {error.name} is not installed; "
            'pip install "tangency[distillation]"'
        ) from error
    return jax_training.train(net, images, labels, training, seed)
