"""The members of a zip archive from anywhere: those asked for, no larger than what is stored of them."""

from __future__ import annotations

import contextlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from biport.errors import FileError
from biport.file_kind import BoundedFile, foreign

KERAS_MODEL = "a Keras model (.keras or .h5)"
MAX_EXPANSION = 100
"""How many times larger than its stored bytes a compressed member may be; Keras does not compress at all."""
MAX_TEXT_BYTES = 64 * 2**20
SMALL = 2**16
"""Below this many bytes no expansion is worth refusing."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, OverflowError, RuntimeError, ValueError),
)
"""What `zipfile` and the decompressors end in when the bytes are not what they should be."""


def read_members(path: Path, limits: dict[str, int | None]) -> dict[str, bytes]:
    """Members of an archive, each there exactly once.

    Args:
        path: the archive.
        limits: their names, and how many bytes they may have, or ``None``.

    Raises:
        FileError: they are not there, or not whole; the message names the file.
    """
    with _opened(path) as archive:
        if limits.keys().isdisjoint(archive.namelist()):
            raise foreign(path, KERAS_MODEL)
        return {name: _member(archive, name, path, limit) for name, limit in limits.items()}


def read_text(path: Path, name: str) -> str:
    """A text of a Keras archive, such as a vocabulary; errors are those of `read_members`."""
    with _opened(path) as archive:
        data = _member(archive, name, path, MAX_TEXT_BYTES)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: {name} is not text in UTF-8 ({error})") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
            file.unbounded()
            yield archive
    except (FileError, PermissionError):
        raise
    except DAMAGED as error:
        raise FileError(f"{path}: truncated or damaged, not a whole .keras archive ({error})") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path, limit: int | None) -> bytes:
    members = [info for info in archive.infolist() if info.filename == name]
    if not members:
        inside = ", ".join(sorted(info.filename[:60] for info in archive.infolist())[:5])
        raise FileError(f"{path}: not a Keras .keras file: {name} is not among {inside}")
    if len(members) > 1:
        raise FileError(f"{path}: not a Keras .keras file: {name} is there twice")
    (info,) = members
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(f"{path}: {name} is compressed in a way that Keras does not know")
    stored = min(info.compress_size, path.stat().st_size)
    bound = min(max(SMALL, stored * MAX_EXPANSION), 4 * stored + 2**28)
    if info.file_size > bound or (limit is not None and info.file_size > limit):
        raise FileError(f"{path}: {name} declares {info.file_size} bytes, {info.compress_size} are stored")
    with archive.open(info) as member:
        # Asked for everything, zipfile unfolds all there is before it looks at what was declared.
        return member.read(info.file_size)
