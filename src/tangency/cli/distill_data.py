"""The data of a distillation, preprocessed by what the training images say."""

from dataclasses import dataclass, replace
from typing import Any

from ..datasets import LabelledImages, RegularizedZCA, Standardize, load_images

PREPROCESSING = ("none", "standardize", "zca")


@dataclass(frozen=True)
class Prepared:
    """Training and test images as a kernel sees them.

    Args:
        train, test: the images.
        about: what was done, for the run's ``config.json``.
    """

    train: LabelledImages
    test: LabelledImages
    about: dict[str, Any]


def prepared(address: str, preprocess: str, dtype: str) -> Prepared:
    """Load a data set and preprocess it.

    Args:
        address: as of ``load_images``.
        preprocess: "none"; "standardize", channel by channel; "zca", regularised
            whitening; or "auto": whitening of colour images, else standardisation.
        dtype: of the images.
    """
    train, test = load_images(address)
    if preprocess == "auto":
        preprocess = "zca" if train.images.shape[-1] > 1 else "standardize"
    fits = {"standardize": Standardize, "zca": RegularizedZCA}
    parts = [replace(part, images=part.images.astype(dtype)) for part in (train, test)]
    if preprocess in fits:
        fitted = fits[preprocess].fit(parts[0].images)
        parts = [replace(p, images=fitted.transform(p.images)) for p in parts]
    about = {"data": address, "preprocess": preprocess, "names": list(train.names)}
    return Prepared(*parts, about)
