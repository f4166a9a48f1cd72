"""Files of records that grow one by one: whatever is cut off, the whole records in front of it stay."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from biport.data.lines import record_ends
from biport.errors import FileError

Write = Callable[[str], object]


@dataclass(frozen=True)
class Layout:
    """How a record is written: as a row of a table, or as an object of JSON.

    Args:
        delimiter: what stands between the fields of a row; ``None`` for JSON.
    """

    delimiter: str | None

    def head(self, names: Sequence[str]) -> str:
        """What stands in front of the records."""
        return "" if self.delimiter is None else self.row(names)

    def row(self, values: Sequence[Any]) -> str:
        """A row of a table, its end included.

        Example:
            >>> Layout(",").row([1, 'a "b",', "c\\\\rd", None, [1.5, None]])
            '1,"a ""b"",","c\\\\rd",,"[1.5, null]"\\\\n'
        """
        assert self.delimiter is not None
        return self.delimiter.join(_quoted(field(value), self.delimiter) for value in values) + "\n"

    def record(self, values: Mapping[str, Any]) -> str:
        """A record by the names of its values, its end included."""
        if self.delimiter is not None:
            return self.row([*values.values()])
        return json.dumps(finite(values), ensure_ascii=False, allow_nan=False) + "\n"


LAYOUTS = {".csv": Layout(","), ".tsv": Layout("\t"), ".jsonl": Layout(None)}
"""By how a file's name ends."""


class Records(Protocol):
    """What records are put behind one another in."""

    @contextmanager
    def append(self) -> Iterator[Write]:
        """A context in which records are put behind those that are there."""
        ...


@dataclass(frozen=True)
class RecordFile:
    """A file of records.

    Args:
        path: of it.
        head: what stands in front of them.
    """

    path: Path
    head: str

    def whole(self) -> int:
        """How many whole records there are; what is behind the last one is cut off.

        Raises:
            FileError: the file begins otherwise.
        """
        head = self.head.encode()
        with self.path.open("r+b") as file:
            count, end = _counted(file, quoted=bool(head))
            file.seek(0)
            if end and file.read(len(head)) != head:
                raise FileError(f"{self.path}: does not begin as results of this model and this input do")
            file.truncate(end)
        return max(0, count - bool(head))

    def cut(self, count: int) -> None:
        """Leave the first ``count`` records, of those that are there."""
        count += bool(self.head)
        with self.path.open("r+b") as file:
            end = 0
            for ends in record_ends(file, quoted=bool(self.head)):
                if count <= 0:
                    break
                end = int(ends[min(count, len(ends)) - 1])
                count -= len(ends)
            file.truncate(end)

    @contextmanager
    def opened(self) -> Iterator[TextIO]:
        """The file, to write behind what is there."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            if file.tell() == 0:
                file.write(self.head)
            yield file

    @contextmanager
    def append(self) -> Iterator[Write]:
        """See `Records`."""
        with self.opened() as file:
            yield file.write


@dataclass(frozen=True)
class RecordStream:
    """Records that are written to something open.

    Args:
        file: not closed.
        head: what stands in front of them.
    """

    file: TextIO
    head: str

    @contextmanager
    def append(self) -> Iterator[Write]:
        """See `Records`."""
        self.file.write(self.head)
        yield self.file.write
        self.file.flush()


def _counted(file: BinaryIO, quoted: bool) -> tuple[int, int]:
    """How many records end in a file, and where the last one does."""
    count = end = 0
    for last in record_ends(file, quoted):
        count, end = count + len(last), int(last[-1])
    return count, end


def _quoted(text: str, delimiter: str) -> str:
    if delimiter in text or _BREAKING(text):
        return '"' + text.replace('"', '""') + '"'
    return text


_BREAKING = re.compile('["\r\n]').search


def field(value: Any) -> str:
    """The value as a text: ``None`` is empty, and what is neither that nor text is JSON."""
    if isinstance(value, str):
        return value
    value = finite(value)
    if value is None:
        return ""
    return repr(value) if type(value) in (int, float) else json.dumps(value, ensure_ascii=False)


def finite(value: Any) -> Any:
    """The value with ``None`` for numbers that JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value
