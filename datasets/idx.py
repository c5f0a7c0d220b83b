"""MNIST and Fashion-MNIST from their idx files."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .images import LabelledImages, from_bytes, numbered
from .npz import load_npz
from .sources import read_files, require

ORIGINS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/ (the four .gz files) or "
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist (the four .gz "
    "files)",
}
FASHION = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
PARTS = ("train-images-idx3", "train-labels-idx1")
TEST_PARTS = ("t10k-images-idx3", "t10k-labels-idx1")
# The only type that these data sets use.
UNSIGNED_BYTE = 8


def mnist(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """MNIST, 60000 training and 10000 test digits of 28 x 28.

    Args:
        path: a folder with the four idx files, plain or .gz; or keras' ``mnist.npz``.

    Raises:
        FileNotFoundError: a file is missing; the message says which and where to get
            it.
        ValueError: a file is not what it should be.

    Reference: LeCun et al. 1998, Gradient-Based Learning Applied to Document
    Recognition.
    """
    return _load(Path(path), "mnist", numbered(10))


def fashion_mnist(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """Fashion-MNIST, ten kinds of clothes in the files and sizes of ``mnist``.

    Reference: Xiao, Rasul and Vollgraf 2017 (1708.07747).
    """
    return _load(Path(path), "fashion_mnist", FASHION)


def _load(
    path: Path, name: str, names: tuple[str, ...]
) -> tuple[LabelledImages, LabelledImages]:
    if path.suffix == ".npz":
        return load_npz(path, ORIGINS[name], names)
    if path.is_dir() and (path / f"{name}.npz").exists():
        return load_npz(path / f"{name}.npz", ORIGINS[name], names)
    stems = (*PARTS, *TEST_PARTS)
    # Some mirrors have a full stop in place of the last hyphen.
    spellings = {f"{stem}-ubyte": stem for stem in stems}
    spellings |= {name.replace("-idx", ".idx"): s for name, s in spellings.items()}
    found = read_files(path, spellings)
    files = {spellings[spelling]: content for spelling, content in found.items()}
    require(
        {f"{s}-ubyte": c for s, c in files.items()},
        [f"{s}-ubyte" for s in stems],
        path,
        ORIGINS[name],
    )
    arrays = [read_idx(files[stem], f"{path}/{stem}-ubyte") for stem in stems]
    return tuple(
        _paired(*arrays[i : i + 2], f"{path}/{stems[i]}-ubyte", names) for i in (0, 2)
    )


def _paired(
    pixels: np.ndarray, labels: np.ndarray, name: str, names: tuple[str, ...]
) -> LabelledImages:
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise ValueError(
            f"{name} has shape {pixels.shape} and its labels {labels.shape}, expected "
            "[n, H, W] and [n]"
        )
    return from_bytes(pixels, labels, names)


def read_idx(content: bytes, name: str) -> np.ndarray:
    """The array of an idx file: two zeros, type, number of axes, sizes, numbers.

    Args:
        content: the file.
        name: of the file, for messages.
    """
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(content) < start:
        raise ValueError(
            f"{name} begins with {content[:4].hex(' ')}, expected 00 00 08 and the "
            "number of axes, as idx files of bytes do"
        )
    shape = tuple(np.frombuffer(content, ">u4", axes, offset=4).tolist())
    if len(content) - start != prod(shape):
        raise ValueError(
            f"{name} has {len(content) - start} bytes of data, expected "
            f"{prod(shape)} for shape {shape}: it is cut off or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
