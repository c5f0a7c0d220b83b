"""Arrays on disk: read without pickles, written whole or not at all."""

import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..kernels.matrix.files import written_whole


def load_array(name: str, address: str) -> np.ndarray:
    """The array at ``file.npy``, or at ``file.npz:key``.

    The key may be left out where the archive holds one array. Pickled objects are
    refused: loading them would run code of whoever wrote the file.

    Args:
        name: the option, for messages.
        address: path, and key after a colon.

    Raises:
        ValueError, OSError: what is wrong with the file.
    """
    path, key = address, None
    if ".npz:" in address and not Path(address).exists():
        path, _, key = address.rpartition(":")
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: there is no file {path!r}") from None
    except (ValueError, EOFError, BadZipFile) as error:
        raise _unreadable(name, address, error) from error
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded as archive:
        keys = list(archive.files)
        if key is None and len(keys) == 1:
            key = keys[0]
        if key not in keys:
            raise ValueError(
                f"{name}: {path} holds {', '.join(keys) or 'nothing'}; choose one, "
                f"e.g. {path}:{keys[0] if keys else 'x'}"
            )
        try:
            return archive[key]
        except (ValueError, EOFError, BadZipFile) as error:
            raise _unreadable(name, address, error) from error


def _unreadable(name: str, address: str, error: Exception) -> ValueError:
    if "allow_pickle" in str(error) or "pickle" in str(error).lower():
        return ValueError(
            f"{name}: {address} is no plain array of numbers but a pickle, which can "
            "run code when it is loaded, and is refused; save the numbers with "
            "numpy.save"
        )
    return ValueError(f"{name}: {address} cannot be read as .npy or .npz: {error}")


def check_writable(name: str, out: Path) -> None:
    """An error now rather than after hours of work, if ``out`` cannot be written."""
    folder = out.parent
    if not folder.is_dir():
        raise ValueError(f"{name}: there is no folder {str(folder)!r}; make it first")
    if out.is_dir():
        raise ValueError(f"{name}: {str(out)!r} is a folder, expected a file name")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{name}: the folder {str(folder)!r} may not be written to")


def save_arrays(out: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write one array to ``.npy``, or arrays by name to ``.npz``."""
    with written_whole(out) as file:
        if out.suffix == ".npz":
            np.savez(file, **arrays)
        else:
            (array,) = arrays.values()
            np.save(file, array, allow_pickle=False)
