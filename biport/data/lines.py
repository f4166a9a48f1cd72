"""Text files a line at a time, with every fault named by its file and line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biport.errors import FileError

MAX_LINE_BYTES = 4 * 2**20
"""A longer line is no line of a corpus, but a file of another kind."""

BLOCK = 2**20
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line of a file, without its end.

    Args:
        number: from 1.
        text: of one with a fault what can be shown of it.
        fault: why it is no text.
    """

    number: int
    text: str
    fault: FileError | None = None


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file with their numbers from 1, without their ends (``\n`` or ``\r\n``).

    One line is in memory at a time. A byte order mark in front is left out.

    Raises:
        FileError: naming the file and the line: it cannot be read, is not UTF-8, or a line is too long.
    """
    for number, text, fault in every_line(path):
        if fault is not None:
            raise fault
        yield number, text


def every_line(path: str | os.PathLike[str], file: BinaryIO | None = None) -> Iterator[Line]:
    """The same, with the lines that are no text among them.

    Args:
        path: what is read, or what it is called in messages.
        file: is open already, and stays so.

    Raises:
        FileError: it cannot be read.
    """
    name = os.fspath(path)
    try:
        if file is not None:
            yield from _lines(name, file)
            return
        with Path(path).open("rb") as opened:
            yield from _lines(name, opened)
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror}.") from error


def _lines(name: str, file: BinaryIO) -> Iterator[Line]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        line = line.removeprefix(_BOM) if number == 1 else line
        if len(line) > MAX_LINE_BYTES:
            reason = f"expected a line of text, found over {MAX_LINE_BYTES} bytes without an end."
            yield Line(number, _legible(line), FileError(f"{name}: line {number}: {reason}"))
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            continue
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        try:
            decoded = Line(number, decode(line, name, number))
        except FileError as fault:
            decoded = Line(number, _legible(line), fault)
        yield decoded


def record_ends(file: BinaryIO, quoted: bool) -> Iterator[NDArray[np.int64]]:
    """Where the records of a file end, some at a time.

    Args:
        file: at its beginning.
        quoted: whether a line break between quotes ends none.
    """
    start, odd = 0, False
    while block := file.read(BLOCK):
        content = np.frombuffer(block, np.uint8)
        breaks = content == ord("\n")
        if quoted:
            inside = np.logical_xor.accumulate(content == ord('"')) ^ odd
            breaks &= ~inside
            odd = bool(inside[-1])
        ends = np.flatnonzero(breaks)
        if len(ends):
            yield start + ends + 1
        start += len(block)


def _legible(line: bytes) -> str:
    return line.decode(errors="backslashreplace").replace("\0", "\\x00")


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
