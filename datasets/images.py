"""Images with class labels, whatever file they came from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .labels import balanced_subset, centred_one_hot, checked_labels, stratified_split


@dataclass(frozen=True)
class LabelledImages:
    """Images, their labels, and what the labels mean.

    Args:
        images: float32 ``[n, H, W, channels]`` in [0, 1].
        labels: integers ``[n]`` in 0, ..., C - 1.
        names: of the C classes.

    >>> import tangency as tg
    >>> train, test = tg.digits()
    >>> train
    1297 images [8, 8, 1] of 10 classes
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        images, labels = self.images, checked_labels(self.labels)
        if images.ndim != 4 or len(images) != len(labels):
            raise ValueError(
                f"images has shape {images.shape}, expected [{len(labels)}, H, W, "
                f"channels], one image for each of {len(labels)} labels"
            )
        if labels.max() >= len(self.names):
            raise ValueError(
                f"labels holds {labels.max()}, expected at most {len(self.names) - 1}: "
                f"there are {len(self.names)} classes"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = list(self.images.shape[1:])
        return f"{len(self)} images {shape} of {self.classes} classes"

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return len(self.names)

    @property
    def targets(self) -> np.ndarray:
        """Centred one-hot labels, ``[n, C]``."""
        return centred_one_hot(self.labels, self.classes)

    def few(self, n: int, seed: int = 0) -> "LabelledImages":
        """n images, as many of each class, chosen by ``seed``."""
        return self.take(balanced_subset(self.labels, n, seed))

    def split(
        self, held_out: int, seed: int = 0
    ) -> tuple["LabelledImages", "LabelledImages"]:
        """All but ``held_out`` images, and these: every class has its share in both."""
        rest, chosen = stratified_split(self.labels, held_out, seed)
        return self.take(rest), self.take(chosen)

    def take(self, indices: Any) -> "LabelledImages":
        """The images at ``indices``."""
        return LabelledImages(self.images[indices], self.labels[indices], self.names)


def from_bytes(
    pixels: np.ndarray, labels: Any, names: tuple[str, ...]
) -> LabelledImages:
    """``LabelledImages`` of pixels 0, ..., 255, ``[n, H, W]`` or with channels."""
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    images = pixels.astype(np.float32) / np.float32(255)
    return LabelledImages(images, np.asarray(labels, dtype=np.int64), names)


def numbered(classes: int) -> tuple[str, ...]:
    """Class names where a file has none: "0", "1", ..."""
    return tuple(map(str, range(classes)))
