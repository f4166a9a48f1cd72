"""Text files a line at a time, with every fault named by its file and line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from biport.errors import FileError

MAX_LINE_BYTES = 4 * 2**20
"""A longer line is no line of a corpus, but a file of another kind."""

_BOM = b"\xef\xbb\xbf"


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file with their numbers from 1, without their ends (``\n`` or ``\r\n``).

    One line is held at a time. A byte order mark in front is left out.

    Raises:
        FileError: naming the file and the line: it cannot be read, is not UTF-8, or a line is too long.
    """
    try:
        with Path(path).open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                yield number, _decoded(line, path, number)
    except OSError as error:
        raise FileError(f"{os.fspath(path)}: cannot be read: {error.strerror}.") from error


def _decoded(line: bytes, path: str | os.PathLike[str], number: int) -> str:
    owner = f"{os.fspath(path)}: line {number}"
    if len(line) > MAX_LINE_BYTES:
        raise FileError(
            f"{owner}: expected a line of text, found over {MAX_LINE_BYTES} bytes without an end."
        )
    if number == 1:
        line = line.removeprefix(_BOM)
    if b"\0" in line:
        raise FileError(f"{owner}: expected UTF-8 text, found a zero byte: UTF-16, or no text at all.")
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02x} at place {error.start}"
        raise FileError(
            f"{owner}: expected UTF-8 text, found {found}; convert the file first, for example with "
            "`iconv -f cp1252 -t utf-8`."
        ) from error
