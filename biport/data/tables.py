"""Corpora as tables: tab-separated pairs of sentences, and texts with labels in CSV or JSON lines.

Every file is UTF-8 and read a line at a time; rows keep the order of the file, blank lines are passed over.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from biport.data.lines import read_lines
from biport.data.records import Pairs, Texts
from biport.errors import Argument, FileError, InputError

TEXT_COLUMNS = ("text", "review", "sentence", "content")
LABEL_COLUMNS = ("label", "sentiment", "class", "category")
MAX_CLASSES = 1000
"""A column of more different labels is taken for a wrong column."""

_WHOLE = re.compile(r"[+-]?\d{1,18}")

Path = str | os.PathLike[str]


def read_pairs(path: Path, limit: int | None = None) -> Pairs:
    """Read sentence pairs: source, tab, target, and maybe a tab and whom they are from.

    Args:
        path: a file in the layout of Tatoeba's pairs as manythings.org gives them out.
        limit: how many pairs to read at most; ``None`` for all.

    Returns:
        The pairs in the order of the file, white space around each text left out.

    Raises:
        FileError: naming the file, the line, and what was expected there.
        InputError: for a ``limit`` below 1.

    Source: https://www.manythings.org/anki/ describes the three columns.
    """
    if limit is not None and limit < 1:
        raise InputError(Argument("limit", limit), ": at least 1 pair is read.")
    pairs = Pairs([], [], [])
    for number, line in read_lines(path):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) not in (2, 3):
            raise FileError(
                f"{os.fspath(path)}: line {number}: expected source, tab, target and maybe an attribution, "
                f"found {len(columns)} column{'s' * (len(columns) > 1)}."
            )
        for name, text in zip(("source", "target"), columns, strict=False):
            if not text:
                raise FileError(f"{os.fspath(path)}: line {number}: expected a {name}, found nothing.")
        pairs.sources.append(columns[0])
        pairs.targets.append(columns[1])
        pairs.attributions.append(columns[2] if len(columns) == 3 else "")
        if len(pairs) == limit:
            break
    if not len(pairs):
        raise FileError(f"{os.fspath(path)}: expected pairs of sentences, found none.")
    return pairs


def read_csv(
    path: Path,
    text: str | None = None,
    label: str | None = None,
    *,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
) -> Texts:
    """Read texts with labels from a CSV file whose first row names its columns.

    Args:
        path: a file as spreadsheets write it: a field with a delimiter, a quote or a line break is in quotes,
            and a quote in it is doubled. Line breaks in a text are read as ``\\n``.
        text: the name of the column of texts; ``None`` for the first of `TEXT_COLUMNS` that is there.
        label: the name of the column of labels; ``None`` for the first of `LABEL_COLUMNS` that is there.
        names: the labels in the order of their numbers; any other is refused. ``None`` for those found: whole
            numbers by size, all others by alphabet, so that ``negative`` is 0 and ``positive`` is 1.
        delimiter: what stands between the fields.

    Raises:
        FileError: naming the file, the line, and what was expected there.
        InputError: for a delimiter of more than one character, or names that repeat.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError(
            Argument("delimiter", delimiter), ": it is one character, and no quote or line break."
        )
    rows = csv_rows(path, delimiter)
    number, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    columns = [
        find_column(f"{os.fspath(path)}: line {number}", header, wanted, kind, known)
        for wanted, kind, known in ((text, "text", TEXT_COLUMNS), (label, "label", LABEL_COLUMNS))
    ]

    def records() -> Iterator[tuple[int, Any, Any]]:
        for number, row in rows:
            if len(row) != len(header):
                raise FileError(
                    f"{os.fspath(path)}: line {number}: expected the {len(header)} fields of the first row, "
                    f"found {len(row)}."
                )
            yield number, row[columns[0]], row[columns[1]]

    return _texts(path, records(), names)


def read_jsonl(
    path: Path, text: str | None = None, label: str | None = None, *, names: Sequence[str] | None = None
) -> Texts:
    """Read texts with labels from a file of JSON lines: an object a line, with a text and a label.

    Labels are texts, whole numbers, ``true`` or ``false``; see `read_csv` for the arguments.

    Raises:
        FileError: naming the file, the line, and what was expected there.
        InputError: for names that repeat.
    """

    def records() -> Iterator[tuple[int, Any, Any]]:
        for number, line in read_lines(path):
            if not line.strip():
                continue
            owner = f"{os.fspath(path)}: line {number}"
            row = json_object(owner, line)
            keys = list(row)
            text_key = keys[find_column(owner, keys, text, "text", TEXT_COLUMNS)]
            yield number, row[text_key], row[keys[find_column(owner, keys, label, "label", LABEL_COLUMNS)]]

    return _texts(path, records(), names)


def csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its first line.

    Raises:
        FileError: naming the file, the line, and what was expected there.
    """
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for number, line in read_lines(path):  # noqa: B007
            yield line + "\n"

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        first = number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise FileError(
                f"{os.fspath(path)}: line {first}: expected a row of CSV, found one that breaks off or "
                f"is quoted wrongly ({error})."
            ) from error
        if row is None:
            return
        if len(row) > 1 or any(field.strip() for field in row):
            yield first, row


def json_object(owner: str, line: str) -> dict[str, Any]:
    """The object on one line of JSON; ``owner`` names file and line.

    Raises:
        FileError: it is something else.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{owner}: expected an object in JSON, found something else ({error}).") from error
    if not isinstance(row, dict):
        raise FileError(f"{owner}: expected an object in JSON, found {type(row).__name__}.")
    return row


def find_column(
    owner: str, header: Sequence[str], wanted: str | None, kind: str, known: Sequence[str]
) -> int:
    """The position of the column ``wanted``, or of the first known name that is there.

    Raises:
        FileError: it is not there, or twice.
    """
    candidates = known if wanted is None else [wanted]
    for name in candidates:
        if header.count(name) > 1:
            raise FileError(f"{owner}: expected one column {name!r}, found {header.count(name)}.")
        if name in header:
            return header.index(name)
    expected = " or ".join(map(repr, candidates))
    there = ", ".join(map(repr, header[:10])) or "nothing"
    raise FileError(f"{owner}: expected a column {expected} ({kind}=... names another), found {there}.")


def _texts(path: Path, records: Iterable[tuple[int, Any, Any]], names: Sequence[str] | None) -> Texts:
    if names is not None and (isinstance(names, str) or len(set(names)) < len(names)):
        raise InputError(Argument("names", names), ": they are several texts, all different.")
    texts: list[str] = []
    # The number that a label gets, in the order of the file unless ``names`` says it.
    numbers = {name: number for number, name in enumerate(names or ())}
    in_file_order: list[int] = []
    for number, text, label in records:
        owner = f"{os.fspath(path)}: line {number}"
        if not isinstance(text, str) or not text.strip():
            raise FileError(f"{owner}: expected a text, found {_shown(text)}.")
        name = _label_name(owner, label)
        if names is not None and name not in numbers:
            raise FileError(f"{owner}: expected a label of {list(names)[:10]}, found {_shown(name)}.")
        texts.append(text)
        in_file_order.append(numbers.setdefault(name, len(numbers)))
        if names is None and len(numbers) > MAX_CLASSES:
            raise FileError(
                f"{owner}: expected at most {MAX_CLASSES} different labels, found more; is this the column?"
            )
    if not texts:
        raise FileError(f"{os.fspath(path)}: expected texts with labels, found none.")
    ranked = list(names) if names is not None else _ranked(numbers)
    rank_of = {name: rank for rank, name in enumerate(ranked)}
    labels = np.array([rank_of[name] for name in numbers], np.int32)[np.array(in_file_order)]
    return Texts(texts, labels, tuple(ranked))


def _label_name(owner: str, label: Any) -> str:
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, int) and abs(label) < 10**18:
        return str(label)
    if isinstance(label, str) and label.strip():
        return label.strip()
    raise FileError(f"{owner}: expected a label, a text or a whole number, found {_shown(label)}.")


def _ranked(names: Iterable[str]) -> list[str]:
    names = list(names)
    if all(_WHOLE.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
