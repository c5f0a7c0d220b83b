"""Street view house numbers, cropped digits, from their MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from .images import LabelledImages, from_bytes, numbered

ORIGIN = "http://ufldl.stanford.edu/housenumbers/ (format 2, cropped digits)"


def svhn(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """SVHN, 73257 training and 26032 test digits of 32 x 32 x 3.

    Args:
        path: the folder with ``train_32x32.mat`` and ``test_32x32.mat``.

    Raises:
        FileNotFoundError: a file is missing; the message says which and where to get
            it.
        ValueError: a file is not what it should be.

    Reference: Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised
    Feature Learning.
    """
    folder = Path(path)
    train, test = (_load(folder / f"{part}_32x32.mat") for part in ("train", "test"))
    return train, test


def _load(path: Path) -> LabelledImages:
    try:
        with open(path, "rb") as file:
            found = loadmat(file, variable_names=("X", "y"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"looked for {path}, and it is not there; nothing is downloaded: get it "
            f"from {ORIGIN}"
        ) from None
    except Exception as error:
        # A damaged file can fail anywhere in the reader.
        raise ValueError(
            f"{path} cannot be read as a MATLAB file: {type(error).__name__}: {error}"
        ) from error
    missing = {"X", "y"} - set(found)
    if missing:
        raise ValueError(f"{path} has no {' and no '.join(sorted(missing))}")
    pixels, labels = found["X"], found["y"].reshape(-1)
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, labels.size):
        raise ValueError(
            f"{path}: X is {pixels.dtype} {pixels.shape}, expected uint8 "
            f"(32, 32, 3, {labels.size})"
        )
    if labels.size == 0 or labels.min() < 1 or labels.max() > 10:
        raise ValueError(f"{path}: y is out of range, expected labels 1, ..., 10")
    # MATLAB counts from 1: the digit 0 has label 10.
    return from_bytes(pixels.transpose(3, 0, 1, 2), labels % 10, numbered(10))
