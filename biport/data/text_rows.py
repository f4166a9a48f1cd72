"""Texts without labels, one at a time: the lines of a file, a column of CSV, a key of JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from biport.data.lines import read_lines
from biport.data.tables import TEXT_COLUMNS, csv_rows, find_column, json_object
from biport.errors import FileError, InputError

SUFFIXES = (".txt", ".csv", ".jsonl")


def read_texts(path: str | os.PathLike[str], column: str | None = None) -> Iterator[str]:
    """The texts of a ``.txt`` file, a line each, or of a ``.csv`` or ``.jsonl`` file, one at a time.

    Args:
        path: in UTF-8. An empty line of a ``.txt`` file is an empty text; those of the others are passed
            over.
        column: the name of the column or key; ``None`` for the first of `biport.data.tables.TEXT_COLUMNS`.

    Raises:
        InputError: the file ends in something else.
        FileError: naming the file, the line, and what was expected there; not before that line is reached.
    """
    match Path(path).suffix:
        case ".txt":
            return (line for _, line in read_lines(path))
        case ".csv":
            return _of_csv(path, column)
        case ".jsonl":
            return _of_jsonl(path, column)
    raise InputError(f"{os.fspath(path)}: texts are read from files that end in {', '.join(SUFFIXES)}")


def _of_csv(path: str | os.PathLike[str], column: str | None) -> Iterator[str]:
    rows = csv_rows(path, ",")
    number, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    position = find_column(f"{os.fspath(path)}: line {number}", names, column, "text", TEXT_COLUMNS)
    for number, row in rows:
        if len(row) != len(names):
            raise FileError(
                f"{os.fspath(path)}: line {number}: expected the {len(names)} fields of the first row, "
                f"found {len(row)}."
            )
        yield row[position]


def _of_jsonl(path: str | os.PathLike[str], column: str | None) -> Iterator[str]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        owner = f"{os.fspath(path)}: line {number}"
        row = json_object(owner, line)
        keys = list(row)
        text = row[keys[find_column(owner, keys, column, "text", TEXT_COLUMNS)]]
        if not isinstance(text, str):
            raise FileError(f"{owner}: expected a text, found {type(text).__name__}.")
        yield text
