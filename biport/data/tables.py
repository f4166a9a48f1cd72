"""Corpora as tables: tab-separated pairs of sentences, and texts with labels in CSV or JSON lines.

Every file is UTF-8 and read a line at a time; rows keep the order of the file, blank lines are passed over.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from biport.data.lines import MAX_LINE_BYTES, Line, every_line, read_lines
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
    table = csv_table(every_line(path), os.fspath(path), delimiter)
    columns = [
        find_column(table.owner, table.names, wanted, kind, known)
        for wanted, kind, known in ((text, "text", TEXT_COLUMNS), (label, "label", LABEL_COLUMNS))
    ]

    def records() -> Iterator[tuple[int, Any, Any]]:
        for row in table.rows:
            if row.fault is not None:
                raise row.fault
            yield row.number, row.fields[columns[0]], row.fields[columns[1]]

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


class CsvRow(NamedTuple):
    """A row of a CSV file.

    Args:
        number: of its first line.
        fields: as many as the first row has, where there is no fault.
        raw: its lines.
        fault: why it is none.
    """

    number: int
    fields: list[str]
    raw: str = ""
    fault: FileError | None = None


class CsvTable(NamedTuple):
    """A CSV file whose first row names its columns.

    Args:
        owner: the file and the line of that row, for messages.
        names: without white space around them.
        rows: those behind it.
    """

    owner: str
    names: list[str]
    rows: Iterator[CsvRow]


def csv_table(lines: Iterable[Line], name: str, delimiter: str) -> CsvTable:
    """The rows of ``lines``, those with a fault among them.

    Blank lines are passed over, but for a table of one column: there they are rows with an empty field.

    Args:
        lines: a line each, without its end.
        name: of the file, for messages.
        delimiter: what stands between the fields.

    Raises:
        FileError: the first row cannot be read; later, a quote is opened that nothing closes.
    """
    every = _csv_rows(lines, name, delimiter)
    first = next((row for row in every if row.fault is not None or not _blank(row)), CsvRow(1, []))
    if first.fault is not None:
        raise first.fault
    names = [field.strip() for field in first.fields]
    return CsvTable(f"{name}: line {first.number}", names, _of_width(every, name, len(names)))


def _of_width(rows: Iterable[CsvRow], name: str, width: int) -> Iterator[CsvRow]:
    for row in rows:
        if row.fault is None and width != 1 and _blank(row):
            continue
        fields = row.fields or [""]
        if row.fault is not None or len(fields) == width:
            yield row._replace(fields=fields)
            continue
        reason = f"expected the {width} field{'s' * (width != 1)} of the first row, found {len(fields)}."
        yield row._replace(fault=FileError(f"{name}: line {row.number}: {reason}"))


def _blank(row: CsvRow) -> bool:
    return len(row.fields) < 2 and not any(field.strip() for field in row.fields)


def allow_fields(size: int) -> None:
    """Have `csv` read fields of so many characters; its own limit is less than a long text."""
    # It is one for the process, and never made smaller.
    csv.field_size_limit(max(csv.field_size_limit(), size))


def _csv_rows(lines: Iterable[Line], name: str, delimiter: str) -> Iterator[CsvRow]:
    allow_fields(MAX_LINE_BYTES)
    read: list[Line] = []

    def fed() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line.text + "\n"

    reader, last = csv.reader(fed(), delimiter=delimiter, strict=True), 0
    while True:
        read.clear()
        fault, row = None, []
        try:
            row = next(reader, None)
        except csv.Error as error:
            why = str(error).partition(" - ")[0]
            where = f"{name}: line {read[0].number if read else last + 1}"
            if len(read) > 1:
                raise FileError(
                    f"{where}: expected a row of CSV, found a quote that is opened and closed nowhere, or "
                    f"wrongly, up to line {read[-1].number} ({why})."
                ) from error
            reason = f"expected a row of CSV, found one that breaks off or is quoted wrongly ({why})."
            fault = FileError(f"{where}: {reason}")
        if row is None:
            return
        last = read[-1].number
        fault = next((line.fault for line in read if line.fault is not None), fault)
        yield CsvRow(read[0].number, row, "\n".join(line.text for line in read), fault)


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
    if wanted is None:
        # What is looked for unasked may be written in capitals.
        small = [name.lower() for name in header]
        alike = [name for name in candidates if small.count(name) == 1]
        if alike:
            return small.index(alike[0])
    expected = " or ".join(map(repr, candidates))
    there = ", ".join(map(repr, header[:10])) or "nothing"
    message = f"{owner}: expected a column {expected} (", Argument(kind), f" names another), found {there}"
    marks = [mark for mark in ";\t|," if len(header) == 1 and mark in header[0]]
    hint = ("; is this what ", Argument("delimiter", marks[0]), " divides?") if marks else (".",)
    raise FileError(*message, *hint)


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
