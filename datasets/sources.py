"""Where the files of a data set lie: in a folder, or in a .tar.gz that stays whole."""

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath


def read_files(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """The contents of those of the wanted files that are there, by name.

    Args:
        path: a folder, where a file may also be compressed as NAME.gz; or an archive
            .tar, .tar.gz or .tgz, of which no file is written to disk.
        wanted: names of files, without folders.

    Raises:
        FileNotFoundError: there is neither folder nor file at ``path``.
        ValueError: the archive or a compressed file is damaged.
    """
    if path.is_dir():
        return _from_folder(path, wanted)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    return _from_archive(path, set(wanted))


def _from_folder(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    found = {}
    for name in wanted:
        plain, compressed = path / name, path / f"{name}.gz"
        if plain.is_file():
            found[name] = plain.read_bytes()
        elif compressed.is_file():
            try:
                found[name] = gzip.decompress(compressed.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f"{compressed} is a damaged .gz: {error}") from error
    return found


def _from_archive(path: Path, wanted: set[str]) -> dict[str, bytes]:
    found = {}
    try:
        # One pass: a compressed archive cannot be searched without unpacking it.
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in wanted:
                    found[name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole .tar.gz: {error}") from error
    return found


def first_source(path: Path, below: Iterable[str]) -> Path:
    """``path``, or what lies in it under the first of the usual names."""
    if path.is_dir():
        for name in below:
            if (path / name).exists():
                return path / name
    return path


def require(
    found: Mapping[str, bytes], wanted: Iterable[str], path: Path, origin: str
) -> None:
    """An error that names the first file that is missing, and where it comes from."""
    for name in wanted:
        if name not in found:
            raise FileNotFoundError(
                f"looked for {name} in {path}, and it is not there; nothing is "
                f"downloaded: get it from {origin}"
            )
