"""One tile in one file: an ``.npy`` file that says what it is and whether it is whole.

After the array, where readers of ``.npy`` do not look, stand two digests of 16 bytes:
the tag, which names kernel, rows and columns, and the checksum of all bytes before it.
"""

from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .files import written_whole

DIGEST = 16


def digest(*parts: Any) -> bytes:
    """A digest of bytes-like parts, in order, each with its length."""
    total = blake2b(digest_size=DIGEST)
    for part in parts:
        view = memoryview(part)
        total.update(view.nbytes.to_bytes(8, "little"))
        total.update(view)
    return total.digest()


def write_tile(path: Path, k: np.ndarray, tag: bytes) -> None:
    """Write a tile under its name, whole and with its checksum, or not at all."""
    k = np.ascontiguousarray(k)
    header = _header(k.shape, k.dtype)
    with written_whole(path) as file:
        file.write(header)
        # The buffer itself: numpy.save would turn a full disk into a vague message.
        file.write(memoryview(k).cast("B"))
        file.write(tag)
        file.write(digest(header, _bytes(k), tag))


def map_tile(
    path: Path, shape: tuple[int, int], dtype: np.dtype, tag: bytes
) -> np.ndarray:
    """The tile, mapped into memory and read-only; the checksum is not looked at.

    Raises:
        FileNotFoundError: it was not computed yet.
        ValueError: it is cut short, or is the tile of something else.
    """
    header = _header(shape, dtype)
    body = int(np.prod(shape)) * dtype.itemsize
    with open(path, "rb") as file:
        problem = None
        if file.read(len(header)) != header:
            problem = f"it is no {shape} array of {dtype}"
        else:
            file.seek(len(header) + body)
            found = file.read()
            if len(found) != 2 * DIGEST:
                problem = "its length is wrong"
            elif found[:DIGEST] != tag:
                problem = "it belongs to another kernel or other inputs"
    if problem:
        raise ValueError(f"{path.name}: {problem}")
    return np.memmap(path, dtype, "r", len(header), shape)


def fault(
    path: Path, shape: tuple[int, int], dtype: np.dtype, tag: bytes
) -> str | None:
    """What is wrong with a tile: all of it is read. None if nothing is."""
    try:
        k = map_tile(path, shape, dtype, tag)
    except FileNotFoundError:
        return "it is missing"
    except ValueError as error:
        return str(error).removeprefix(f"{path.name}: ")
    with open(path, "rb") as file:
        file.seek(-DIGEST, 2)
        checksum = file.read()
    if digest(_header(shape, dtype), _bytes(k), tag) != checksum:
        return "its checksum is wrong"
    return None


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    header = BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    fields = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def _bytes(k: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(k)).cast("B")
