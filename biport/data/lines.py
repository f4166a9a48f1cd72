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

    One line is in memory at a time. A byte order mark in front is left out.

    Raises:
        FileError: naming the file and the line: it cannot be read, is not UTF-8, or a line is too long.
    """
    try:
        with Path(path).open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise FileError(
                        f"{os.fspath(path)}: line {number}: expected a line of text, found over "
                        f"{MAX_LINE_BYTES} bytes without an end."
                    )
                line = line.removeprefix(_BOM) if number == 1 else line
                yield number, decode(line.removesuffix(b"\n").removesuffix(b"\r"), path, number)
    except OSError as error:
        raise FileError(f"{os.fspath(path)}: cannot be read: {error.strerror}.") from error


def decode(text: bytes, name: str | os.PathLike[str], number: int = 1) -> str:
    """``text`` as UTF-8; ``number`` is that of its first line, for the message.

    Raises:
        FileError: it is no UTF-8, or holds a zero byte.
    """
    zero = text.find(b"\0")
    if zero >= 0:
        line = number + text.count(b"\n", 0, zero)
        raise FileError(
            f"{os.fspath(name)}: line {line}: expected UTF-8 text, found a zero byte: UTF-16, or no text."
        )
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = number + text.count(b"\n", 0, error.start)
        position = error.start - (text.rfind(b"\n", 0, error.start) + 1)
        raise FileError(
            f"{os.fspath(name)}: line {line}: expected UTF-8 text, found byte 0x{text[error.start]:02x} at "
            f"place {position}; convert it first, for example with `iconv -f cp1252 -t utf-8`."
        ) from error
