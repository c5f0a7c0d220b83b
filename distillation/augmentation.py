"""Random changes of training images that do not change their class."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Flip:
    """Mirror images ``[n, H, W, channels]`` left to right, each at even odds."""

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _check_images("Flip", x)
        mirrored = rng.random(len(x)) < 0.5
        return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)


@dataclass(frozen=True)
class Crop:
    """Move every image ``[n, H, W, channels]`` by up to ``pixels`` in each direction;
    what comes in from outside is 0.

    Args:
        pixels: 1 or more.
    """

    pixels: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, int) or self.pixels < 1:
            raise ValueError(f"Crop: pixels is {self.pixels!r}, expected an int >= 1")

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _check_images("Crop", x)
        p, (n, high, wide, _) = self.pixels, x.shape
        padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        top, left = rng.integers(0, 2 * p + 1, (2, n))
        rows = (top[:, None] + np.arange(high))[:, :, None]
        columns = (left[:, None] + np.arange(wide))[:, None, :]
        return padded[np.arange(n)[:, None, None], rows, columns]


@dataclass(frozen=True)
class Noise:
    """Add independent Gaussian noise to every entry of inputs ``[n, ...]``.

    Args:
        deviation: of the noise, > 0.
    """

    deviation: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.deviation < float("inf"):
            raise ValueError(
                f"Noise: deviation is {self.deviation!r}, expected a number > 0"
            )

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + (self.deviation * rng.standard_normal(x.shape)).astype(x.dtype)


def rebuild(described: Any) -> tuple[Augmentation, ...]:
    """The augmentations in a description; functions of the user cannot be there.

    Raises:
        ValueError: one is not of this library.
    """
    return tuple(map(_rebuilt, described))


def _rebuilt(described: Any) -> Augmentation:
    name = described.get("class", next(iter(described.values()), None))
    for known in (Flip, Crop, Noise):
        if name == f"{known.__module__}.{known.__qualname__}":
            return known(**{f.name: described[f.name] for f in fields(known)})
    raise ValueError(f"{name!r} is no augmentation of tangency")


def _check_images(name: str, x: np.ndarray) -> None:
    if x.ndim != 4:
        raise ValueError(
            f"{name}: x has shape {x.shape}, expected images [n, H, W, channels]"
        )
