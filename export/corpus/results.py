"""What is written of each row: its label and probability, or its outputs; of a tagger a label a token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO, final

import numpy as np

from biport.data.text_rows import TextRow
from biport.decoding.ctc import transcribe
from export.corpus.columns import Columns
from export.corpus.records import LAYOUTS, RecordFile, RecordStream
from export.corpus.tags import is_tagger, tags
from export.runtime.streams import RowResult
from export.session import Session
from export.text.labels import label_of

Put = Callable[[TextRow, RowResult], object]
"""Takes a row and what became of it."""


class Results(ABC):
    """Where results go; not a format by itself.

    Args:
        path: the file.
        session: the model.
        id: see `Columns`.
        first: see `Columns`.
    """

    def __init__(self, path: Path, session: Session, id: str | None, first: TextRow | None) -> None:
        self.path = path
        self.session = session
        self.columns = self._columns(id, first)

    @abstractmethod
    def _columns(self, id: str | None, first: TextRow | None) -> Columns:
        """The columns of the file."""

    def exists(self) -> bool:
        """Whether a run has begun to write it."""
        return self.path.exists()

    def clear(self) -> None:
        """Leave nothing of an earlier run."""
        self.path.unlink(missing_ok=True)

    @abstractmethod
    def whole_rows(self) -> int:
        """How many rows there are; what is behind the last whole one is cut off.

        Raises:
            FileError: the file holds something else.
        """

    @abstractmethod
    def open(self) -> AbstractContextManager[Put]:
        """A context in which rows are put behind those that are there."""


@final
class RecordResults(Results):
    """Results as records: rows of a table, or objects of JSON."""

    def __init__(
        self,
        path: Path,
        session: Session,
        id: str | None,
        first: TextRow | None,
        stream: TextIO | None = None,
    ) -> None:
        self.layout = LAYOUTS[path.suffix]
        self.table = self.layout.delimiter is not None
        super().__init__(path, session, id, first)
        names = [self.columns.id, *self.columns.others.values(), *self.columns.own]
        self.head = self.layout.head(names)
        self.stream = stream

    def _columns(self, id: str | None, first: TextRow | None) -> Columns:
        if is_tagger(self.session):
            own = ["tokens", "labels", "probabilities"] if self.table else ["tokens", "outputs"]
        elif self.session.alphabet is not None:
            own = ["text", "confidence", *([] if self.table else ["outputs"])]
        elif self.session.labels is not None:
            own = ["label", "probability", *([] if self.table else ["outputs"])]
        else:
            own = self.session.output_names if self.table else ["outputs"]
        return Columns(id, own, first, fixed=self.table)

    def whole_rows(self) -> int:
        """Those of the file."""
        return RecordFile(self.path, self.head).whole()

    @contextmanager
    def open(self) -> Iterator[Put]:
        """Append records."""
        records = RecordFile(self.path, self.head) if self.stream is None else None
        with (records or RecordStream(self.stream, self.head)).append() as write:  # type: ignore[arg-type]
            yield lambda row, result: write(self._record(row, result))

    def _record(self, row: TextRow, result: RowResult) -> str:
        own = dict(zip(self.columns.own, self._values(row, result), strict=True))
        values = {self.columns.id: self.columns.identity(row), **self.columns.beside(row), **own}
        return self.layout.record(values)

    def _values(self, row: TextRow, result: RowResult) -> list[Any]:
        if not self.table:
            return [*described(self.session, row.text, result).values()]
        whole = labels_of(self.session, row.text, result)
        if "tokens" in whole:
            return [[one[name] for one in whole["tokens"]] for name in ("token", "label", "probability")]
        if whole:
            return [*whole.values()]
        return [_alone(plain(output)) for output in result.outputs]


def described(session: Session, text: str, result: RowResult) -> dict[str, Any]:
    """What became of a text, as plain data: what `labels_of` gives, and ``outputs``.

    Args:
        session: the model.
        text: what was run.
        result: without an error.
    """
    outputs = dict(zip(session.output_names, map(plain, result.outputs), strict=True))
    return {**labels_of(session, text, result), "outputs": outputs}


def labels_of(session: Session, text: str, result: RowResult) -> dict[str, Any]:
    """``label`` and ``probability``, ``tokens`` with both, or ``text`` and ``confidence`` of a CTC model.

    Nothing where the model has no labels.
    """
    if is_tagger(session):
        every = tags(session, text, result)
        return {"tokens": [vars(one) | {"probability": _share(one.probability)} for one in every]}
    if session.alphabet is not None:
        (transcript,) = transcribe(session.alphabet, result.outputs[0][None], width=session.beam_width)
        return {"text": transcript.text, "confidence": _share(transcript.confidence)}
    if session.labels is None:
        return {}
    label, share = label_of(session.labels, result.outputs[0])
    return {"label": label, "probability": _share(share)}


def _share(probability: float) -> Any:
    return plain(np.asarray(probability, "float32"))


def plain(array: np.ndarray) -> Any:
    """Numbers for JSON, as short as they can be told apart; ``None`` for what is not finite."""
    if array.ndim:
        return [plain(part) for part in array]
    if array.dtype.kind != "f":
        return array.item()
    return float(str(array)) if np.isfinite(array) else None


def _alone(value: Any) -> Any:
    """A number for a list of it, as a field of a table."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list):
        return value[0]
    return value
