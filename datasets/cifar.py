"""CIFAR-10 and CIFAR-100 from their files: pickles of Python, or binary records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .images import LabelledImages, from_bytes, numbered
from .sources import first_source, read_files, require
from .unpickle import load_arrays

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar.html"
PIXELS = 3 * 32 * 32
Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Edition:
    """The files of one of the two data sets.

    Args:
        classes: number of classes.
        folders: usual names of folder and archive.
        train, test: its pickles; the binary files have ``.bin`` in addition.
        label: key of the labels in a pickle.
        meta, names: the pickle with the names of the classes, and their key.
        text: the file with the names that comes with binary records.
        skip: label bytes of a record before its class.
    """

    classes: int
    folders: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    label: bytes
    meta: str
    names: bytes
    text: str
    skip: int = 0


TEN = _Edition(
    classes=10,
    folders=(
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
    ),
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    label=b"labels",
    meta="batches.meta",
    names=b"label_names",
    text="batches.meta.txt",
)
HUNDRED = _Edition(
    classes=100,
    folders=(
        "cifar-100-python",
        "cifar-100-python.tar.gz",
        "cifar-100-binary",
        "cifar-100-binary.tar.gz",
    ),
    train=("train",),
    test=("test",),
    label=b"fine_labels",
    meta="meta",
    names=b"fine_label_names",
    text="fine_label_names.txt",
    skip=1,
)


def cifar10(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """CIFAR-10, 50000 training and 10000 test images of 32 x 32 x 3.

    Args:
        path: the folder ``cifar-10-batches-py`` or ``cifar-10-batches-bin``, the
            archive ``cifar-10-python.tar.gz`` or ``cifar-10-binary.tar.gz``, or the
            folder that one of these lies in. Archives are read in place.

    Raises:
        FileNotFoundError: a file is missing; the message says which and where to get
            it.
        UnsafePickleError, ValueError: a file is not what it should be.

    Reference: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    return _load(Path(path), TEN)


def cifar100(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """CIFAR-100 with its 100 fine labels; as ``cifar10``."""
    return _load(Path(path), HUNDRED)


def _load(path: Path, edition: _Edition) -> tuple[LabelledImages, LabelledImages]:
    path = first_source(path, edition.folders)
    batches = (*edition.train, *edition.test)
    records = [f"{name}.bin" for name in batches]
    extra = (edition.meta, edition.text)
    found = read_files(path, (*batches, *records, *extra))
    binary = any(name in found for name in records)
    wanted = records if binary else batches
    require(found, wanted, path, ORIGIN)
    read = _from_records if binary else _from_pickle
    parts = [read(found[name], f"{path}/{name}", edition) for name in wanted]
    names = _names(found, str(path), edition)
    cut = len(edition.train)
    return _joined(parts[:cut], names), _joined(parts[cut:], names)


def _joined(parts: list[Split], names: tuple[str, ...]) -> LabelledImages:
    rows, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    # A record has all red pixels, then green, then blue.
    return from_bytes(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, names)


def _from_pickle(content: bytes, name: str, edition: _Edition) -> Split:
    batch = load_arrays(content, name)
    batch = _with_byte_keys(batch, name)
    for key in (b"data", edition.label):
        if key not in batch:
            raise ValueError(
                f"{name} holds {sorted(batch)}, expected {key!r} as in {ORIGIN}"
            )
    return _checked(np.asarray(batch[b"data"]), batch[edition.label], name, edition)


def _from_records(content: bytes, name: str, edition: _Edition) -> Split:
    size = edition.skip + 1 + PIXELS
    if not content or len(content) % size:
        raise ValueError(
            f"{name} has {len(content)} bytes, expected a multiple of {size}: a record "
            "has its labels and 3072 pixels"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _checked(rows[:, -PIXELS:], rows[:, edition.skip], name, edition)


def _checked(rows: np.ndarray, labels: Any, name: str, edition: _Edition) -> Split:
    labels = np.asarray(labels)
    if rows.dtype != np.uint8 or rows.shape != (labels.size, PIXELS):
        raise ValueError(
            f"{name} has pixels {rows.shape} {rows.dtype} and {labels.size} labels, "
            f"expected uint8 [n, {PIXELS}] and n labels"
        )
    if not labels.size or labels.min() < 0 or labels.max() >= edition.classes:
        raise ValueError(
            f"{name} has labels out of range, expected 0, ..., {edition.classes - 1}"
        )
    return rows, labels


def _names(found: dict[str, bytes], path: str, edition: _Edition) -> tuple[str, ...]:
    names: Any = ()
    if edition.meta in found:
        name = f"{path}/{edition.meta}"
        meta = _with_byte_keys(load_arrays(found[edition.meta], name), name)
        names = meta.get(edition.names, ())
    elif edition.text in found:
        names = found[edition.text].split()
    texts = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)
    return texts if len(texts) == edition.classes else numbered(edition.classes)


def _with_byte_keys(batch: Any, name: str) -> dict[bytes, Any]:
    """The dict of a pickle; Python 2 wrote its keys as bytes, Python 3 as text."""
    if not isinstance(batch, dict):
        raise ValueError(f"{name} holds a {type(batch).__name__}, expected a dict")
    return {k.encode() if isinstance(k, str) else k: v for k, v in batch.items()}
