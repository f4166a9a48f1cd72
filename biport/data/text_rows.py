"""Texts one at a time, with what stands beside them: lines of a file, rows of a table, objects of JSON."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biport.data.lines import Line, every_line, record_ends
from biport.data.tables import TEXT_COLUMNS, csv_table, find_column, json_object
from biport.errors import Argument, BiportError, FileError, InputError, shortened

_LONE = re.compile(r"\\ud[89a-f][0-9a-f]{2}")
"""Of a ``repr``, in which a whole pair is a character."""

STDIN = "-"
DELIMITERS = {"csv": ",", "tsv": "\t"}
"""Of the formats that are tables."""
MOST_COUNTED = 2**30
"""Bytes of a file whose rows are counted in front."""
START = 2**16
FORMATS = ("txt", *DELIMITERS, "jsonl")


@dataclass(frozen=True)
class TextRow:
    """A text, and what stands beside it.

    Args:
        number: of the row, from 1; a row that cannot be read has one, too.
        text: may be empty.
        fields: what the row has beside its text, in order: texts of a table, any values of JSON.
        where: the file and the line, for messages.
        column: the column or key of the text; ``None`` where there are none.
    """

    number: int
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    column: str | None = field(default=None, compare=False)

    @property
    def content(self) -> Any:
        """What a model is given of it."""
        return self.text

    @property
    def owner(self) -> str:
        """The row with the beginning of its text, for messages.

        Example:
            >>> TextRow(3, "a fine film", where="reviews.csv: line 4").owner
            "reviews.csv: line 4: row 3, 'a fine film'"
        """
        where = f"{self.where}: " if self.where else ""
        return f"{where}row {self.number}, {shortened(self.text)}"


@dataclass(frozen=True)
class BadRow:
    """A row that is left out.

    Args:
        row: with as much of its text as there is.
        error: why; its message names the row.
        reason: the same without the row.
    """

    row: TextRow
    error: BiportError
    reason: str

    @staticmethod
    def unread(row: TextRow, error: FileError) -> BadRow:
        """One that cannot be read."""
        return BadRow(row, error, str(error).removeprefix(f"{row.where}: "))

    @staticmethod
    def refused(row: TextRow, error: BiportError) -> BadRow:
        """One that the model does not take."""
        return BadRow(row, InputError(f"{row.owner}: ", *error.parts), str(error))


def read_texts(path: str | os.PathLike[str], column: str | None = None) -> Iterator[str]:
    """The texts of `read_rows` alone."""
    return (row.text for row in read_rows(path, column))


def read_rows(
    path: str | os.PathLike[str],
    column: str | None = None,
    *,
    format: str | None = None,
    delimiter: str | None = None,
    bad: Callable[[BadRow], object] | None = None,
) -> Iterator[TextRow]:
    """The texts of a file with what stands beside them, one at a time, in the order of the file.

    A line of a ``.txt`` file is a text, an empty one too. A ``.csv`` or ``.tsv`` file has names in its first
    row, and quotes as spreadsheets write them; blank lines are passed over, but where there is one column:
    there they are empty texts. In ``.jsonl`` each line is an object, and blank ones are passed over.

    Args:
        path: in UTF-8; ``"-"`` is standard input.
        column: the name of the column or key of the texts; ``None`` for the first of
            `biport.data.tables.TEXT_COLUMNS`.
        format: one of `FORMATS`; ``None`` for what the file's name ends in.
        delimiter: what stands between the fields of a table; ``None`` for a comma or, of ``.tsv``, a tab.
        bad: is given each row that cannot be read, which is then left out. Without, it is an error.

    Raises:
        InputError: the file ends in something else, or the delimiter is none.
        FileError: naming the file, the line, and what was expected there; not before that line is reached.

    Example:
        >>> _ = Path("/tmp/reviews.csv").write_text("id,text\\n7,a fine film\\n8,\\n")
        >>> [(row.number, row.text, row.fields) for row in read_rows("/tmp/reviews.csv")]
        [(1, 'a fine film', {'id': '7'}), (2, '', {'id': '8'})]
    """
    kind = format_of(path, format)
    if delimiter is not None and kind not in DELIMITERS:
        raise InputError(Argument("delimiter", delimiter), f": of tables alone, {', '.join(DELIMITERS)}")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise InputError(Argument("delimiter", delimiter), ": it is one character, no quote or line break")
    return _rows(path, kind, column, delimiter, bad)


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Which of `FORMATS` a file of texts is in.

    Raises:
        InputError: it is none.
    """
    if format is not None:
        if format not in FORMATS:
            raise InputError(Argument("format", format), f": should be one of {', '.join(FORMATS)}")
        return format
    if os.fspath(path) == STDIN:
        raise InputError(
            "standard input has no name that says what it is; give ", Argument("format"), f": {_named()}"
        )
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(
            f"{os.fspath(path)}: texts are read from files that end in {endings}; ",
            Argument("format"),
            " says what another one is",
        )
    return suffix


def count_rows(
    path: str | os.PathLike[str], format: str | None = None, delimiter: str | None = None
) -> int | None:
    """About how many rows `read_rows` gives, for somebody who waits: exact but for odd blank lines.

    Returns:
        ``None`` of what cannot be read twice, or is too large to be counted at once.

    Raises:
        InputError: the format is none.
        OSError: the file cannot be read.
    """
    kind = format_of(path, format)
    if os.fspath(path) == STDIN or not Path(path).is_file() or Path(path).stat().st_size > MOST_COUNTED:
        return None
    count = blank = last = 0
    with Path(path).open("rb") as file:
        head = file.readline(START)
        file.seek(0)
        for ends in record_ends(file, quoted=kind in DELIMITERS):
            count += len(ends)
            blank += int(np.count_nonzero(np.diff(ends, prepend=last) <= len("\r\n")))
            last = int(ends[-1])
        count += file.tell() > last
    if kind == "txt":
        return count
    if kind == "jsonl":
        return count - blank
    wide = (delimiter or DELIMITERS[kind]).encode() in head
    return max(0, count - 1 - (blank if wide else 0))


def _named() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def _rows(
    path: str | os.PathLike[str],
    kind: str,
    column: str | None,
    delimiter: str | None,
    bad: Callable[[BadRow], object] | None,
) -> Iterator[TextRow]:
    name = "standard input" if os.fspath(path) == STDIN else os.fspath(path)
    lines = every_line(name, sys.stdin.buffer if os.fspath(path) == STDIN else None)
    column = None if column is None else column.strip()
    if kind == "txt":
        parsed = _of_lines(name, lines)
    elif kind == "jsonl":
        parsed = _of_json(name, lines, column)
    else:
        parsed = _of_table(name, lines, column, delimiter or DELIMITERS[kind])
    for row, fault in parsed:
        if fault is None:
            yield row
        elif bad is None:
            raise fault
        else:
            bad(BadRow.unread(row, fault))


Parsed = Iterator[tuple[TextRow, FileError | None]]
"""Rows, and why one cannot be read."""


def _of_lines(name: str, lines: Iterable[Line]) -> Parsed:
    for number, text, fault in lines:
        yield TextRow(number, text, where=f"{name}: line {number}"), fault


def _of_table(name: str, lines: Iterable[Line], column: str | None, delimiter: str) -> Parsed:
    table = csv_table(lines, name, delimiter)
    position = find_column(table.owner, table.names, column, "column", TEXT_COLUMNS)
    names = different(table.names)
    for number, row in enumerate(table.rows, 1):
        where = f"{name}: line {row.number}"
        if row.fault is not None:
            yield TextRow(number, row.raw, where=where), row.fault
            continue
        fields = {
            key: value
            for at, (key, value) in enumerate(zip(names, row.fields, strict=True))
            if at != position
        }
        yield TextRow(number, row.fields[position], fields, where, table.names[position]), None


def different(names: Sequence[str]) -> list[str]:
    """Names of columns, those that are there already with a number behind them.

    Example:
        >>> different(["text", "stars", "stars", "stars_2", "stars"])
        ['text', 'stars', 'stars_2', 'stars_2_2', 'stars_3']
    """
    different: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in different:
            count += 1
            candidate = f"{name}_{count}"
        different.append(candidate)
    return different


def _of_json(name: str, lines: Iterable[Line], column: str | None) -> Parsed:
    number = 0
    for line in lines:
        if not line.text.strip() and line.fault is None:
            continue
        number += 1
        where = f"{name}: line {line.number}"
        try:
            if line.fault is not None:
                raise line.fault
            key, text, fields = _text_of(where, line.text, column)
        except FileError as fault:
            yield TextRow(number, line.text, where=where), fault
        else:
            yield TextRow(number, text, fields, where, key), None


def _text_of(where: str, line: str, column: str | None) -> tuple[str, str, dict[str, Any]]:
    fields = json_object(where, line)
    keys = list(fields)
    key = keys[find_column(where, keys, column, "column", TEXT_COLUMNS)]
    text = fields.pop(key)
    if not isinstance(text, str):
        raise FileError(f"{where}: expected a text, found {type(text).__name__}.")
    if "\\u" in line and _LONE.search(repr((text, fields))):
        raise FileError(f"{where}: expected Unicode, found a lone surrogate, which UTF-8 has not.")
    return key, text, fields
