"""The side file of rows that are left out: which, what they say, and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.data.tables import allow_fields
from biport.data.text_rows import BadRow
from biport.errors import FileError, InputError
from export.corpus.records import LAYOUTS, RecordFile

NAMES = ("row", "where", "text", "reason")


@dataclass(frozen=True)
class LeftOut:
    """The side file.

    Args:
        path: it ends in ``.csv``, ``.tsv`` or ``.jsonl``.

    Raises:
        InputError: it ends in something else.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.suffix not in LAYOUTS:
            raise InputError(f"{self.path}: rows are left out into files that end in {', '.join(LAYOUTS)}")

    @property
    def _records(self) -> RecordFile:
        return RecordFile(self.path, LAYOUTS[self.path.suffix].head(NAMES))

    @contextmanager
    def append(self) -> Iterator[Callable[[BadRow], None]]:
        """A context in which rows are put behind those that are there.

        Each is in the file before anything else is done: no row of results gets there before it.
        """
        with self._records.opened() as file:

            def put(bad: BadRow) -> None:
                values = (bad.row.number, bad.row.where, bad.row.text, bad.reason)
                file.write(LAYOUTS[self.path.suffix].record(dict(zip(NAMES, values, strict=True))))
                file.flush()

            yield put

    def numbers(self) -> list[int]:
        """The numbers of the rows that are whole in it, in order.

        Raises:
            FileError: it holds something else.
        """
        self._records.whole()
        try:
            return [int(record["row"]) for record in self._stored()]
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise FileError(f"{self.path}: does not hold rows that were left out ({error!r})") from error

    def keep(self, count: int) -> None:
        """Leave the first ``count`` rows in it."""
        self._records.cut(count)

    def _stored(self) -> Iterator[dict[str, Any]]:
        delimiter = LAYOUTS[self.path.suffix].delimiter
        with self.path.open(encoding="utf-8", newline="") as file:
            if delimiter is None:
                yield from map(json.loads, file)
            else:
                allow_fields(2**24)
                yield from csv.DictReader(file, delimiter=delimiter)
