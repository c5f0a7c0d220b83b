"""Handwritten digits that come with scikit-learn: real images, and no download."""

import numpy as np

from .images import LabelledImages, numbered


def digits(test: int = 500, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
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
    return LabelledImages(images, bunch.target, numbered(10)).split(test, seed)
