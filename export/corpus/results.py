"""Files of results that grow row by row: whatever is cut off, the whole rows in front of it stay."""

from __future__ import annotations

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from biport.errors import FileError
from export.session import Session
from export.text.labels import label_of

Put = Callable[[int, Sequence[np.ndarray]], None]
"""Takes a row's number, from 1, and the model's outputs for it."""
BLOCK = 2**20


class Results(ABC):
    """A file of results; not a format by itself."""

    def __init__(self, path: Path, session: Session) -> None:
        self.path = path
        self.names = session.output_names
        self.labels = session.labels

    def exists(self) -> bool:
        """Whether a run has begun to write it."""
        return self.path.exists()

    @abstractmethod
    def clear(self) -> None:
        """Leave nothing of an earlier run."""

    @abstractmethod
    def whole_rows(self) -> int:
        """How many rows there are; what is behind the last whole one is cut off.

        Raises:
            FileError: the file holds something else.
        """

    @abstractmethod
    def open(self) -> AbstractContextManager[Put]:
        """A context in which rows are put behind those that are there."""


class Lines(Results):
    """Results as lines of text; not a format by itself."""

    head: ClassVar[bool] = False

    @abstractmethod
    def line(self, number: int, outputs: Sequence[np.ndarray]) -> str:
        """One row as a line, its end included; no line break in it."""

    def first_line(self) -> str:
        """What stands in front of the rows."""
        return ""

    def clear(self) -> None:
        """No file."""
        self.path.unlink(missing_ok=True)

    def whole_rows(self) -> int:
        """Lines that end, less the first line; the rest of a line without an end is cut off."""
        first = self.first_line().encode()
        with self.path.open("r+b") as file:
            count, end = 0, 0
            while block := file.read(BLOCK):
                count += block.count(b"\n")
                last = block.rfind(b"\n")
                end = file.tell() - len(block) + last + 1 if last >= 0 else end
            file.seek(0)
            if end and file.read(len(first)) != first:
                raise FileError(f"{self.path}: does not begin as results of this model do")
            file.truncate(end)
        return max(0, count - bool(first))

    @contextmanager
    def open(self) -> Iterator[Put]:
        """Append lines."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            if file.tell() == 0:
                file.write(self.first_line())
            yield lambda number, outputs: _ignored(file.write(self.line(number, outputs)))


@final
class CsvLines(Lines):
    """A row's number, and its label and probability or, without labels, each output; arrays as JSON."""

    def first_line(self) -> str:
        """The names of the columns."""
        return _csv(["row", "label", "probability"] if self.labels else ["row", *self.names])

    def line(self, number: int, outputs: Sequence[np.ndarray]) -> str:
        """The fields."""
        values = _labelled(self.labels, outputs) if self.labels else [plain(array) for array in outputs]
        return _csv([number, *map(_field, values)])


@final
class JsonLines(Lines):
    """An object a row: ``row``, ``label`` and ``probability`` where there are labels, and ``outputs``."""

    def line(self, number: int, outputs: Sequence[np.ndarray]) -> str:
        """The object."""
        row: dict[str, Any] = {"row": number}
        if self.labels:
            row |= zip(("label", "probability"), _labelled(self.labels, outputs), strict=True)
        row["outputs"] = {name: plain(array) for name, array in zip(self.names, outputs, strict=True)}
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def plain(array: np.ndarray) -> Any:
    """Numbers for JSON, as short as they can be told apart; ``null`` for what is not finite."""
    if array.ndim:
        return [plain(part) for part in array]
    return _short(array)


def _short(number: Any) -> Any:
    if np.asarray(number).dtype.kind != "f":
        return number.item()
    return float(str(number)) if math.isfinite(number) else None


def _labelled(labels: Sequence[str], outputs: Sequence[np.ndarray]) -> tuple[Any, Any]:
    label, share = label_of(labels, outputs[0])
    return label, plain(np.asarray(share, "float32"))


def _field(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list):
        return value[0]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _csv(fields: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


def _ignored(_: object) -> None:
    return None
