"""What is distilled: inputs and their classes."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from ..datasets.labels import checked_labels
from ..kernels.inputs import check_input
from ..kernels.matrix.host import as_numpy

Array = Any


@dataclass(frozen=True)
class TrainingSet:
    """What is distilled.

    Args:
        x: inputs ``[N, ...]``.
        labels: their classes ``[N]``.
        classes: C.
    """

    x: np.ndarray
    labels: np.ndarray
    classes: int

    def fingerprint(self) -> str:
        """Of shape, dtype and values: equal for equal training sets."""
        total = blake2b(digest_size=16)
        for a in (self.x, self.labels):
            total.update(f"{a.shape} {a.dtype.str} ".encode())
            for row in a.reshape(len(a), -1):
                total.update(np.ascontiguousarray(row))
        return total.hexdigest()


def training_set(x: Array, y: Array, classes: int | None) -> TrainingSet:
    """Inputs and classes, checked.

    Raises:
        TypeError, ValueError: they are not fit; the message says why.
    """
    check_input("x", x)
    x, labels = as_numpy("x", x), checked_labels(y)
    if len(labels) != len(x):
        raise ValueError(
            f"y has {len(labels)} labels, expected {len(x)}, one for each of x"
        )
    top = int(labels.max())
    classes = top + 1 if classes is None else classes
    if top >= classes:
        raise ValueError(
            f"y holds the label {top}, expected 0, ..., {classes - 1}: there are "
            f"{classes} classes"
        )
    if classes < 2:
        raise ValueError("y holds one class only, expected two or more")
    missing = np.setdiff1d(np.arange(classes), labels)
    if len(missing):
        raise ValueError(
            f"y has no example of class {missing[0]}, expected every class of 0, ..., "
            f"{classes - 1}; numpy.unique(y, return_inverse=True)[1] numbers them "
            "without gaps"
        )
    return TrainingSet(x, labels, classes)
