"""One part of a corpus: its rows read, scored and written, so that its file is there whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biport.data.tables import TEXT_COLUMNS, find_column
from biport.data.text_rows import BadRow, TextRow
from biport.decoding.ctc import transcribe
from biport.errors import FileError, InputError
from biport.files import atomic_file
from export.corpus.columns import ROW, Columns
from export.corpus.results import plain
from export.corpus.tags import is_tagger, tags
from export.require import require
from export.runtime.streams import RowResult
from export.scale.plan import Part, open_parquet
from export.session import Session
from export.text.labels import label_of

ROWS = 4096
"""Rows that are read, scored and written at a time."""


@dataclass(frozen=True)
class Settings:
    """How rows are scored.

    Args:
        column: of the texts; ``None`` for the first of `TEXT_COLUMNS`.
        id: the column that names the rows; ``None`` for their numbers.
        truncate: cut rows that are longer than a model of fixed length takes.
        skip_bad: leave out the rows that cannot be run.
    """

    column: str | None = None
    id: str | None = None
    truncate: bool = False
    skip_bad: bool = False


@dataclass(frozen=True)
class LeftRow:
    """A row that is left out, as it travels between processes.

    Args:
        number: of the row, from 1.
        where: its file.
        text: of the row.
        reason: why.
        message: the same with the row in front.
    """

    number: int
    where: str
    text: str
    reason: str
    message: str

    @staticmethod
    def of(bad: BadRow) -> LeftRow:
        """The same of a `BadRow`."""
        return LeftRow(bad.row.number, bad.row.where, bad.row.text, bad.reason, str(bad.error))

    def bad(self) -> BadRow:
        """The same as a `BadRow`."""
        return BadRow(
            TextRow(self.number, self.text, where=self.where), InputError(self.message), self.reason
        )


@dataclass
class PartResult:
    """What became of a part.

    Args:
        number: of the part.
        rows: in its file.
        cut: how many of these were cut.
        left_out: the rows that are not; one, and no file, where none may be.
        seconds: how long it took.
        tries: how often it was begun.
        problem: why it could not be read or written.
    """

    number: int
    rows: int = 0
    cut: int = 0
    left_out: list[LeftRow] = field(default_factory=list)
    seconds: float = 0
    tries: int = 1
    problem: str | None = None


class Layout:
    """The columns of a file of results: as ``biport run`` has them in a table, with their types.

    Args:
        session: the model.
        schema: of the input.
        settings: which columns are what.
        owner: the input, for messages.

    Raises:
        FileError: there is no column of texts.
        InputError: there is no column of that name.
    """

    def __init__(self, session: Session, schema: Any, settings: Settings, owner: str) -> None:
        arrow = require("pyarrow", "reading Parquet", "parquet")
        self.session = session
        names = list(schema.names)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FileError(f"{owner}: has {names.count(twice)} columns {twice!r}.")
        self.text = names[find_column(owner, names, settings.column, "text", TEXT_COLUMNS)]
        kind = schema.field(self.text).type
        if not _is_text(arrow, kind):
            raise FileError(f"{owner}: expected a column {self.text!r} of texts, found {kind}.")
        own = self._own(arrow)
        others = {name: None for name in names if name != self.text}
        self.columns = Columns(settings.id, [*own], TextRow(1, "", others), fixed=True)
        self._id = settings.id
        fields = [arrow.field(ROW, arrow.int64()) if settings.id is None else schema.field(settings.id)]
        fields += [schema.field(name).with_name(here) for name, here in self.columns.others.items()]
        fields += [arrow.field(here, kind) for here, kind in zip(self.columns.own, own.values(), strict=True)]
        self.schema = arrow.schema(fields)

    def _own(self, arrow: Any) -> dict[str, Any]:
        """The columns of what the model says, and their types."""
        share, label = arrow.float32(), arrow.string()
        if is_tagger(self.session):
            every = {"tokens": label, "labels": label, "probabilities": share}
            return {name: arrow.list_(kind) for name, kind in every.items()}
        if self.session.alphabet is not None:
            return {"text": label, "confidence": share}
        if self.session.labels is not None:
            return {"label": label, "probability": share}
        return {value.name: _type(arrow, value) for value in self.session.output_values}

    def table(self, batch: Any, first: int, every: Sequence[tuple[int, str, RowResult]]) -> Any:
        """The rows of a batch that were scored, as a table.

        Args:
            batch: of the input.
            first: the number of its first row.
            every: the position of each row, its text, and what became of it.
        """
        arrow = require("pyarrow", "reading Parquet", "parquet")
        positions = arrow.array([position for position, _, _ in every], arrow.int64())
        kept = batch.take(positions)
        numbers = [first + position for position, _, _ in every]
        arrays = [arrow.array(numbers, arrow.int64()) if self._id is None else kept.column(self._id)]
        arrays += [kept.column(name) for name in self.columns.others]
        values = [self._values(text, result) for _, text, result in every]
        own = list(zip(*values, strict=True)) if values else [()] * len(self.columns.own)
        kinds = self.schema.types[-len(self.columns.own) :]
        arrays += [arrow.array(list(one), kind) for one, kind in zip(own, kinds, strict=True)]
        return arrow.Table.from_arrays(arrays, schema=self.schema)

    def _values(self, text: str, result: RowResult) -> list[Any]:
        if is_tagger(self.session):
            every = tags(self.session, text, result)
            shares = [_share(one.probability) for one in every]
            return [[one.token for one in every], [one.label for one in every], shares]
        if self.session.alphabet is not None:
            width = self.session.beam_width
            (transcript,) = transcribe(self.session.alphabet, result.outputs[0][None], width=width)
            return [transcript.text, _share(transcript.confidence)]
        if self.session.labels is not None:
            label, share = label_of(self.session.labels, result.outputs[0])
            return [label, _share(share)]
        values = self.session.output_values
        return [_alone(value, plain(one)) for value, one in zip(values, result.outputs, strict=True)]


def _is_text(arrow: Any, kind: Any) -> bool:
    """Whether a column is one of texts, be they written once each."""
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    return str(kind) in ("string", "large_string", "string_view")


def _type(arrow: Any, value: Any) -> Any:
    kind = arrow.from_numpy_dtype(value.dtype) if value.dtype != "str" else arrow.string()
    for _ in value.shape[1:] if not _is_number(value) else ():
        kind = arrow.list_(kind)
    return kind


def _share(probability: float) -> float | None:
    return float(probability) if math.isfinite(probability) else None


def _is_number(value: Any) -> bool:
    """Whether an output is one number a row."""
    return tuple(value.shape[1:]) in ((), (1,))


def _alone(value: Any, one: Any) -> Any:
    return one[0] if _is_number(value) and isinstance(one, list) else one


def score_part(
    session: Session, part: Part, folder: Path, settings: Settings, workers: int | None
) -> PartResult:
    """Score the rows of a part into its file in ``folder``.

    Rows that are left out are in a file beside it, which is there before it. Where none may be, the first one
    ends the part, and there is no file.

    Args:
        session: the model.
        part: what of the corpus.
        folder: where to.
        settings: how.
        workers: of `Session.predict_each`.

    Raises:
        FileError: the input cannot be read, or the output not be written.
    """
    parquet = require("pyarrow.parquet", "writing Parquet", "parquet")
    done = PartResult(part.number)
    with (
        open_parquet(part.source) as source,
        suppress(_StoppedError),
        atomic_file(folder / part.name) as draft,
    ):
        layout = Layout(session, source.schema_arrow, settings, str(part.source))
        with parquet.ParquetWriter(draft, layout.schema) as writer:
            for offset, batch in _batches(source, part):
                first = part.before + offset + 1
                writer.write_table(_scored(layout, batch, first, part, settings, workers, done))
                if done.left_out and not settings.skip_bad:
                    raise _StoppedError
        if done.left_out:
            _write_left_out(folder / part.beside("jsonl"), done.left_out)
    return done


class _StoppedError(Exception):
    """A part ends without a file."""


def _scored(
    layout: Layout,
    batch: Any,
    first: int,
    part: Part,
    settings: Settings,
    workers: int | None,
    done: PartResult,
) -> Any:
    """The rows of a batch as a table, and what is counted of them."""
    given = _texts(batch.column(layout.text))
    texts = [(position, text) for position, text in enumerate(given) if isinstance(text, str)]
    left_out = [
        _unread(first + position, part, text)
        for position, text in enumerate(given)
        if not isinstance(text, str)
    ]
    results = layout.session.predict_each(
        (text for _, text in texts), truncate=settings.truncate, workers=workers
    )
    every = []
    for (position, text), result in zip(texts, results, strict=True):
        if result.error is not None:
            left_out.append(BadRow.refused(_row(first + position, text, part), result.error.why))
            continue
        every.append((position, text, result))
    done.rows += len(every)
    done.cut += sum(result.cut > 0 for _, _, result in every)
    done.left_out += [LeftRow.of(bad) for bad in sorted(left_out, key=lambda bad: bad.row.number)]
    return layout.table(batch, first, every)


def _texts(column: Any) -> list[str | UnicodeDecodeError | None]:
    """The texts of a column, in place of one that is not in UTF-8 why that is."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_text(value) for value in column]


def _text(value: Any) -> str | UnicodeDecodeError | None:
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return error


def _unread(number: int, part: Part, text: UnicodeDecodeError | None) -> BadRow:
    why = "null" if text is None else "bytes that are not in UTF-8"
    reason, row = f"expected a text, found {why}", _row(number, "", part)
    return BadRow(row, FileError(f"{row.where}: row {number}: {reason}"), reason)


def _row(number: int, text: str, part: Part) -> TextRow:
    return TextRow(number, text, where=part.source.name)


def _batches(source: Any, part: Part) -> Iterator[tuple[int, Any]]:
    """The rows of a part in batches, each with how many rows of the part are in front of it."""
    groups, start, position = [], None, 0
    for group in range(source.metadata.num_row_groups):
        rows = source.metadata.row_group(group).num_rows
        if position < part.start + part.rows and position + rows > part.start:
            groups.append(group)
            start = position if start is None else start
        position += rows
    offset = (start or 0) - part.start
    for batch in _read(source, part, groups):
        front = max(0, -offset)
        kept = batch.slice(front, max(0, min(part.rows - offset, batch.num_rows) - front))
        if kept.num_rows:
            yield offset + front, kept
        offset += batch.num_rows


def _read(source: Any, part: Part, groups: Sequence[int]) -> Iterator[Any]:
    try:
        yield from source.iter_batches(ROWS, row_groups=groups)
    except (OSError, ValueError) as error:  # pyarrow's own are one of these
        raise FileError(f"{part.source}: cannot be read: {str(error).splitlines()[0]}") from error


def _write_left_out(path: Path, left_out: Sequence[LeftRow]) -> None:
    with atomic_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in left_out)


def read_left_out(folder: Path, part: Part) -> list[LeftRow]:
    """The rows that were left out of a part.

    Raises:
        FileError: they cannot be read.
    """
    path = folder / part.beside("jsonl")
    if not path.exists():
        return []
    try:
        return [LeftRow(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise FileError(f"{path}: does not hold rows that were left out ({error!r})") from error
