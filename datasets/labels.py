"""Class labels: as regression targets, split by class, compared with predictions."""

from typing import Any

import numpy as np


def centred_one_hot(labels: Any, classes: int | None = None) -> np.ndarray:
    """The regression targets of a classifier: 1 - 1/C for the class, -1/C elsewhere.

    The targets of a row sum to zero, as the prior mean of a kernel does.

    Args:
        labels: integers ``[n]`` in 0, ..., C - 1.
        classes: C; None for the largest label plus one.

    Returns:
        float64 targets ``[n, C]``.

    >>> centred_one_hot([0, 1]).tolist()
    [[0.5, -0.5], [-0.5, 0.5]]
    """
    labels = checked_labels(labels)
    found = int(labels.max()) + 1
    classes = found if classes is None else classes
    if classes < max(found, 2):
        raise ValueError(
            f"classes is {classes}, expected at least {max(found, 2)}: labels go up to "
            f"{found - 1}, and a classifier has two classes or more"
        )
    return np.eye(classes)[labels] - 1 / classes


def accuracy(predictions: Any, labels: Any) -> float:
    """The fraction of rows whose largest prediction is at the label.

    Args:
        predictions: one column per class, ``[n, C]``.
        labels: integers ``[n]``.
    """
    predictions, labels = np.asarray(predictions), checked_labels(labels)
    if predictions.ndim != 2 or len(predictions) != len(labels):
        raise ValueError(
            f"predictions has shape {predictions.shape}, expected [{len(labels)}, "
            "classes], one row per label"
        )
    return float(np.mean(predictions.argmax(axis=1) == labels))


def stratified_split(
    labels: Any, test: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a test set in which every class has its share.

    Args:
        labels: integers ``[n]``.
        test: size of the test set, at least one and less than n.
        seed: the same seed gives the same split.

    Returns:
        Sorted indices ``[n - test]`` and ``[test]``.
    """
    labels = checked_labels(labels)
    if not 1 <= test < len(labels):
        raise ValueError(
            f"test is {test}, expected between 1 and {len(labels) - 1} of the "
            f"{len(labels)} labels"
        )
    rng = np.random.default_rng(seed)
    kinds, counts = np.unique(labels, return_counts=True)
    share = counts * test / len(labels)
    quota = np.floor(share).astype(int)
    # The largest remainders get what rounding down left over.
    short = np.argsort(quota - share, kind="stable")[: test - quota.sum()]
    quota[short] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == kind))[:size]
        for kind, size in zip(kinds, quota, strict=True)
    ]
    held_out = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def balanced_subset(labels: Any, n: int, seed: int = 0) -> np.ndarray:
    """Indices of n rows with the same number of each class, ``[n]``.

    Args:
        labels: integers.
        n: a multiple of the number of classes.
        seed: the same seed gives the same rows.
    """
    labels = checked_labels(labels)
    kinds, counts = np.unique(labels, return_counts=True)
    each, rest = divmod(n, len(kinds))
    if rest or not 1 <= each <= counts.min():
        raise ValueError(
            f"n is {n}, expected a multiple of the {len(kinds)} classes, up to "
            f"{len(kinds) * int(counts.min())} (the rarest class has {counts.min()})"
        )
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == k))[:each] for k in kinds]
    return np.sort(np.concatenate(chosen))


def checked_labels(labels: Any) -> np.ndarray:
    """``labels`` as non-negative integers ``[n]``, or an error."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels has shape {labels.shape}, expected [n] with n >= 1")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"labels has dtype {labels.dtype}, expected integers 0, ..., C - 1; "
            "numpy.unique(labels, return_inverse=True)[1] numbers other labels"
        )
    if labels.min() < 0:
        raise ValueError(f"labels holds {labels.min()}, expected integers >= 0")
    return labels
