"""The members of a zip archive from anywhere: those asked for, no larger than what is stored of them."""

from __future__ import annotations

import contextlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.errors import FileError
from biport.file_kind import BoundedFile, foreign
from biport.weight_files import PIECE

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


@dataclass(frozen=True)
class Stored:
    """A member that is stored as it is: so many bytes of a file."""

    path: Path
    start: int
    size: int

    def open(self) -> io.BufferedReader:
        """The member as a file."""
        return io.BufferedReader(_Window(self))


class _Window(io.RawIOBase):
    def __init__(self, member: Stored) -> None:
        self._member, self._at, self._file = member, 0, io.FileIO(member.path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        return self._at

    def readinto(self, buffer: Any, /) -> int | None:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._member.start + self._at)
        count = self._file.readinto(view[: max(0, self._member.size - self._at)])
        self._at += count or 0
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def read_members(path: Path, limits: dict[str, int | None]) -> dict[str, bytes | Stored]:
    """Members of an archive, each there exactly once.

    Args:
        path: the archive.
        limits: their names, and how many bytes they may have. What may have any number, ``None``, is left in
            the archive if it is stored there as it is.

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
    assert isinstance(data, bytes)
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


def _member(archive: zipfile.ZipFile, name: str, path: Path, limit: int | None) -> bytes | Stored:
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
        if limit is None and info.compress_type == zipfile.ZIP_STORED:
            while member.read(PIECE):
                # At its end its checksum is looked at.
                pass
            return Stored(path, _start(path, info.header_offset), info.file_size)
        # Asked for everything, zipfile unfolds all there is before it looks at what was declared.
        return member.read(info.file_size)


def _start(path: Path, header: int) -> int:
    """Where a member begins, behind its header."""
    with path.open("rb") as file:
        file.seek(header + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return header + 30 + name + extra
