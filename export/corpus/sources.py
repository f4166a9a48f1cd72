"""Where the rows of a corpus come from: a file of texts, pictures, or an array."""

from __future__ import annotations

import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np

from biport.data.images import ImageInput, image_files, read_images
from biport.data.text_rows import STDIN, BadRow, TextRow, read_rows
from biport.errors import Argument, InputError
from biport.text.inputs import to_data
from export.session import Session

HEAD = 2**16
"""Bytes of a file of texts by which it is known again; it may have grown."""


@dataclass(frozen=True)
class Source(ABC):
    """Rows that can be read; not one by itself.

    Args:
        path: of what holds them.
    """

    path: str | PathLike[str]

    @abstractmethod
    def rows(self, behind: int = 0) -> Iterator[TextRow | BadRow]:
        """The rows, with those that cannot be read where they stand.

        Args:
            behind: how many are passed over.

        Raises:
            InputError: there are fewer.
        """

    @property
    @abstractmethod
    def again(self) -> bool:
        """Whether they can be read a second time."""

    @abstractmethod
    def check(self, session: Session) -> None:
        """Refuse a model that the rows cannot be given to.

        Raises:
            InputError: saying why not.
        """

    @abstractmethod
    def identity(self, session: Session, length: int | None) -> dict[str, Any]:
        """What the rows that were read are known by again.

        Args:
            session: the model.
            length: how many bytes of what names them are looked at; ``None`` for as many as an earlier run
                would.

        Raises:
            OSError: they cannot be read.
        """

    def _check_count(self, behind: int, count: int) -> None:
        if count < behind:
            raise InputError(f"{self.path}: has {count} rows only, and there are results of {behind}")


def _every_row(read: Callable[[Callable[[BadRow], object]], Iterator[TextRow]]) -> Iterator[TextRow | BadRow]:
    """The rows that are read, and in their places those that what is called is given."""
    bad: list[BadRow] = []
    for row in read(bad.append):
        yield from bad
        bad.clear()
        yield row
    yield from bad


def _head(head: bytes, length: int | None) -> dict[str, Any]:
    head = head[:length]
    return {"input": hashlib.sha256(head).hexdigest(), "bytes": len(head)}


@final
@dataclass(frozen=True)
class TextSource(Source):
    """A file of texts, or standard input.

    Args:
        column: where the texts are.
        format: what the file is, where its name does not say it.
        delimiter: between the fields of a table.
    """

    column: str | None = None
    format: str | None = None
    delimiter: str | None = None

    def rows(self, behind: int = 0) -> Iterator[TextRow | BadRow]:
        """See `Source`."""
        rows = _every_row(
            lambda bad: read_rows(
                self.path, self.column, format=self.format, delimiter=self.delimiter, bad=bad
            )
        )
        self._check_count(behind, sum(1 for _ in itertools.islice(rows, behind)))
        return rows

    @property
    def again(self) -> bool:
        """Whether it is a file."""
        return str(self.path) != STDIN and Path(self.path).is_file()

    def check(self, session: Session) -> None:
        """See `Source`."""
        check_reads_texts(session)

    def identity(self, session: Session, length: int | None) -> dict[str, Any]:
        """The beginning of the file, the column, and how ids are made."""
        told = json.dumps(to_data(session.tokenizers), sort_keys=True).encode()
        with Path(self.path).open("rb") as file:
            head = _head(file.read(HEAD), length)
        return head | {"tokenizer": hashlib.sha256(told).hexdigest(), "column": self.column}


@final
@dataclass(frozen=True)
class ImageSource(Source):
    """A picture, or a folder of some.

    Args:
        image: what the model takes.
    """

    image: ImageInput

    def rows(self, behind: int = 0) -> Iterator[TextRow | BadRow]:
        """See `Source`; those that are passed over are not opened."""
        self._check_count(behind, min(behind, len(image_files(self.path))))
        return _every_row(lambda bad: read_images(self.path, self.image, behind=behind, bad=bad))

    @property
    def again(self) -> bool:
        """Always."""
        return True

    def check(self, session: Session) -> None:
        """Nothing: what the model takes has been looked at."""

    def identity(self, session: Session, length: int | None) -> dict[str, Any]:
        """The names of the files, and how numbers are made of them."""
        names = "\n".join(path.as_posix() for path in image_files(self.path))
        return _head(f"{names}\n".encode("utf-8", "surrogateescape"), length) | {
            "image": self.image.settings.to_data()
        }


@dataclass(frozen=True)
class ArrayRow(TextRow):
    """A row of an array: its text is where it stands.

    Args:
        array: as the model takes it, without the axis of the batch.
    """

    array: np.ndarray | None = field(default=None, compare=False)

    @property
    def content(self) -> Any:
        """What the model is given."""
        return self.array


@final
@dataclass(frozen=True)
class ArraySource(Source):
    """The rows of an array, ``(N, ...)``.

    Args:
        array: it.
    """

    array: np.ndarray = field(repr=False)

    def rows(self, behind: int = 0) -> Iterator[TextRow | BadRow]:
        """See `Source`."""
        self._check_count(behind, len(self.array))
        where = str(self.path)
        for number, array in enumerate(self.array[behind:], behind + 1):
            yield ArrayRow(number, f"{where}[{number - 1}]", where=where, array=array)

    @property
    def again(self) -> bool:
        """Always."""
        return True

    def check(self, session: Session) -> None:
        """See `Source`; each row is looked at when it is run."""
        if not self.array.ndim:
            raise InputError(f"{self.path}: should hold rows, found one number")

    def identity(self, session: Session, length: int | None) -> dict[str, Any]:
        """The shape of a row, and the beginning of the numbers."""
        known = f"{self.array.dtype} {self.array.shape[1:]}\n".encode()
        numbers = np.ascontiguousarray(self.array.reshape(-1)[:HEAD]).tobytes()
        return _head((known + numbers)[:HEAD], length)


def check_reads_texts(session: Session) -> None:
    """Refuse a model that texts cannot be given to.

    Raises:
        InputError: saying why not.
    """
    if session.reads_texts:
        return
    if len(session.input_values) != 1:
        names = ", ".join(value.name for value in session.input_values)
        raise InputError(f"texts are run through models of one input, and this one takes {names}")
    more = "export it with its ", Argument("vocabulary", "..."), ", or say it here"
    raise InputError("the model does not say how ids are made of texts; ", *more)
