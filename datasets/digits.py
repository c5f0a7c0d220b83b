"""Handwritten digits that come with scikit-learn: real images, and no download."""

from dataclasses import dataclass

import numpy as np

from .labels import balanced_subset, centred_one_hot, stratified_split

CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """Images and their labels.

    Args:
        images: float32 ``[n, 8, 8, 1]`` in [0, 1].
        labels: integers ``[n]`` in 0, ..., 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def targets(self) -> np.ndarray:
        """Centred one-hot labels, ``[n, 10]``."""
        return centred_one_hot(self.labels, CLASSES)

    def few(self, n: int, seed: int = 0) -> "Digits":
        """n images, n / 10 of each class, chosen by ``seed``."""
        return self.take(balanced_subset(self.labels, n, seed))

    def take(self, indices: np.ndarray) -> "Digits":
        """The images at ``indices``."""
        return Digits(self.images[indices], self.labels[indices])


def digits(test: int = 500, seed: int = 0) -> tuple[Digits, Digits]:
    """The 1797 digits of 8 x 8 pixels, split into a training and a test set.

    The split is stratified, and the same on every machine.

    Args:
        test: number of test images.
        seed: which split.

    Raises:
        ModuleNotFoundError: scikit-learn, which the images come with, is missing.

    Reference: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI
    1998), its test part.

    >>> train, test = digits()
    >>> train.images.shape, test.images.shape
    ((1297, 8, 8, 1), (500, 8, 8, 1))
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "digits: the images come with scikit-learn, which is not installed; "
            "pip install scikit-learn"
        ) from error
    bunch = load_digits()
    # The pixels are counts from 0 to 16.
    images = (bunch.images[..., None] / 16).astype(np.float32)
    everything = Digits(images, bunch.target)
    for_training, for_test = stratified_split(bunch.target, test, seed)
    return everything.take(for_training), everything.take(for_test)
