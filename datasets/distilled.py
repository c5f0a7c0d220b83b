"""Distilled data sets as their authors publish them, in .npz files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .npz import read_npz

ORIGIN = (
    "https://github.com/google/neural-tangents (KIP: images, labels) or "
    "https://github.com/yolky/RFAD (images, labels, k)"
)


@dataclass(frozen=True)
class DistilledImages:
    """A support set: images that were learned, and their targets.

    Args:
        images: float ``[n, H, W, channels]``, preprocessed as they were learned.
        labels: float targets ``[n, C]``.
        k: RFAD's learned scale of its kernel's logits; None for others.
    """

    images: np.ndarray
    labels: np.ndarray
    k: np.ndarray | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        good = images.ndim == 4 and labels.ndim == 2 and len(images) == len(labels)
        if not good or not all(
            np.issubdtype(a.dtype, np.floating) for a in (images, labels)
        ):
            raise ValueError(
                f"images is {images.dtype} {images.shape} and labels {labels.dtype} "
                f"{labels.shape}, expected floats [n, H, W, channels] and [n, classes]"
            )


def load_distilled(path: Any) -> DistilledImages:
    """A published support set of KIP or of RFAD.

    KIP's files hold ``images`` with channels last and ``labels``, and have names such
    as ``ConvNet_ssize100_zca_nol_noaug_ckpt1000.npz``; RFAD's also hold ``k``, and
    their channels come first.

    Args:
        path: the .npz.

    Raises:
        FileNotFoundError, ValueError: what is wrong with the file.

    Reference: Nguyen et al. 2021 (2107.13034); Loo et al. 2022 (2210.12067).
    """
    path = Path(path)
    arrays = read_npz(path, ("images", "labels"), ORIGIN)
    images, k = arrays["images"], arrays.get("k")
    if k is not None and images.ndim == 4:
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    try:
        return DistilledImages(images, arrays["labels"], k)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save_distilled(path: Any, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a support set as KIP's authors do, for programs that read their files.

    Args:
        path: ends in .npz.
        images: floats ``[n, H, W, channels]``.
        labels: floats ``[n, C]``.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path is {str(path)!r}, expected a name that ends in .npz")
    checked = DistilledImages(np.asarray(images), np.asarray(labels))
    np.savez(path, images=checked.images, labels=checked.labels)
