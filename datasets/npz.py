"""Data sets in one .npz, as keras has them: x_train, y_train, x_test, y_test."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .images import LabelledImages, from_bytes, numbered

KEYS = ("x_train", "y_train", "x_test", "y_test")


def npz(path: Any) -> tuple[LabelledImages, LabelledImages]:
    """Any data set in the format of keras: an .npz of four arrays.

    Args:
        path: the file. ``x_train`` and ``x_test`` are ``[n, H, W]`` or ``[n, H, W,
            channels]``, bytes or floats; ``y_train`` and ``y_test`` integers ``[n]`` or
            ``[n, 1]``.

    Raises:
        FileNotFoundError, ValueError: what is wrong with the file.
    """
    return load_npz(Path(path), "numpy.savez or keras", None)


def load_npz(
    path: Path, origin: str, names: tuple[str, ...] | None
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images of an .npz; class names are numbers if not given."""
    arrays = read_npz(path, KEYS, origin)
    labels = [arrays[key].reshape(-1) for key in ("y_train", "y_test")]
    for key, found in zip(("y_train", "y_test"), labels, strict=True):
        if not np.issubdtype(found.dtype, np.integer):
            raise ValueError(
                f"{path}: {key} has dtype {found.dtype}, expected integers"
            )
    names = names or numbered(1 + int(max(y.max(initial=1) for y in labels)))
    return tuple(
        _images(arrays[key], y, names)
        for key, y in zip(("x_train", "x_test"), labels, strict=True)
    )


def _images(
    pixels: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> LabelledImages:
    if pixels.dtype == np.uint8:
        return from_bytes(pixels, labels, names)
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    return LabelledImages(pixels.astype(np.float32), labels, names)


def read_npz(path: Path, keys: tuple[str, ...], origin: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz by name, read without pickles.

    Args:
        path: the file.
        keys: which arrays must be there.
        origin: where the file comes from, for messages.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"looked for {path}, and it is not there; nothing is downloaded: it comes "
            f"from {origin}"
        ) from None
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}") from error
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"{path} is a single array, expected an .npz of {keys}")
    with loaded as archive:
        missing = [key for key in keys if key not in archive.files]
        if missing:
            raise ValueError(
                f"{path} holds {', '.join(archive.files) or 'nothing'}, expected "
                f"{', '.join(keys)}; it comes from {origin}"
            )
        try:
            return {key: archive[key] for key in archive.files}
        except (ValueError, EOFError, OSError, BadZipFile) as error:
            raise ValueError(
                f"{path} holds what is no plain array, and is refused: {error}"
            ) from error
