"""Where the images of a support set start."""

import numpy as np

from ..datasets import balanced_subset
from .batches import generator


def start(
    x: np.ndarray, labels: np.ndarray, per_class: int, init: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first support set: images ``[n, ...]`` sorted by class, and their classes.

    Args:
        x: training inputs ``[N, ...]``.
        labels: their classes ``[N]``, 0, ..., C - 1, each of them there.
        per_class: images of each class.
        init: "natural", "noise" or "kmeans"; see ``Config``.
        seed: the same seed gives the same start.

    Raises:
        ValueError: a class has fewer images than it takes.
        ModuleNotFoundError: "kmeans" needs scikit-learn.
    """
    kinds, counts = np.unique(labels, return_counts=True)
    if init != "noise" and per_class > counts.min():
        rare = kinds[counts.argmin()]
        raise ValueError(
            f"per_class is {per_class}, but class {rare} has only {counts.min()} "
            "training images; take fewer, or init='noise'"
        )
    rng = generator(seed, "start")
    classes = np.repeat(kinds, per_class)
    if init == "noise":
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        normal = rng.standard_normal((len(classes), *x.shape[1:]))
        return (mean + deviation * normal).astype(x.dtype), classes
    if init == "kmeans":
        centres = [_centres(x[labels == k], per_class, rng) for k in kinds]
        return np.concatenate(centres).astype(x.dtype), classes
    chosen = balanced_subset(labels, len(classes), int(rng.integers(2**31)))
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    return x[chosen], classes


def _centres(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    try:
        from sklearn.cluster import KMeans
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "init='kmeans' needs scikit-learn, which is not installed; pip install "
            "scikit-learn, or use init='natural'"
        ) from error
    found = KMeans(k, n_init=4, random_state=int(rng.integers(2**31)))
    return found.fit(x.reshape(len(x), -1)).cluster_centers_.reshape(k, *x.shape[1:])
