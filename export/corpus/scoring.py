"""A corpus in a file to a file of results: in constant memory, and taken up again where it was cut off."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from biport.data.images import ImageInput
from biport.data.text_rows import BadRow, TextRow
from biport.errors import Argument, BiportError, FileError, InputError
from biport.files import check_target, reason
from biport.json_file import read_json, write_json
from biport.log import log
from biport.text.alphabet import to_data
from export.corpus.array_results import ArrayResults
from export.corpus.left_out import LeftOut
from export.corpus.records import LAYOUTS
from export.corpus.results import RecordResults, Results
from export.corpus.sources import ArraySource, ImageSource, Source, TextSource
from export.runtime.streams import RowResult
from export.session import Session

FORMATS = (*LAYOUTS, ".npz")
"""By how the file's name ends."""
ANEW = Argument("overwrite", True)


@dataclass(frozen=True)
class Scored:
    """What was done.

    Args:
        output: the file of results.
        rows: how many it holds.
        resumed: how many of them were there already.
        seconds: how long the others took.
        left_out: how many rows are in the side file.
        cut: how many rows were cut to what a model of fixed length takes, of those that were run.
        renamed: columns of the input that are called otherwise beside the results.
        problem: why the first row was left out.
    """

    output: Path
    rows: int
    resumed: int
    seconds: float
    left_out: int = 0
    cut: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


def score(
    session: Session,
    source: str | PathLike[str],
    output: Path,
    *,
    images: ImageInput | None = None,
    array: np.ndarray | None = None,
    column: str | None = None,
    format: str | None = None,
    delimiter: str | None = None,
    id: str | None = None,
    truncate: bool = False,
    skip_bad: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    stream: TextIO | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scored:
    """Write a row of results for each text, picture or row of an array of ``source``, in their order.

    Each has the other columns of its row and the row's number, or what ``id`` names it by. A column that is
    called as one of the results gets ``input_`` in front.

    Rows go to the output as they are made, each whole before the next. Beside it lies ``<output>.run``, which
    says of what model and input the rows are; a run that was cut off is taken up again with ``resume``.

    Args:
        session: a model of one input: it says how ids are made of texts, or takes texts, or pictures.
        source: a file of texts, or ``"-"`` for standard input, see `biport.data.read_rows`; or a picture, or
            a folder of some, see `biport.data.read_images`: the rows then have the name of the ``file``.
        output: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.npz`` file.
        images: what pictures the model takes, where these are run.
        array: what ``source`` holds, ``(N, ...)``, where that is an array.
        column: where the texts are.
        format: what the source is, where its name does not say it.
        delimiter: between the fields of a table.
        id: the column that names the rows; ``None`` for their numbers.
        truncate: cut the end off rows that are longer than a model of fixed length takes.
        skip_bad: a ``.csv``, ``.tsv`` or ``.jsonl`` file for the rows that cannot be read or run, with the
            reason of each; without it the first of them is an error.
        resume: go on behind the rows that are there; from the start where there are none.
        overwrite: begin anew over a file that is there.
        stream: what records are written to in place of ``output``, which then says how.
        progress: called with how many rows were done since it was called last.

    Raises:
        InputError: the files end in something else or the output exists; a row is bad; with ``resume``, the
            rows there are of another model or input.
        FileError: a file cannot be read or written.
    """
    read: Source = TextSource(source, column, format, delimiter)
    if images is not None:
        read = ImageSource(source, images)
    elif array is not None:
        read = ArraySource(source, array)
    run = _Run(session, read, output, id, skip_bad and LeftOut(skip_bad), stream)
    run.check(resume, overwrite)
    first, rows = _first(read.rows())
    results = _results(output, session, id, first, stream)
    there = run.there(results) if resume and results.exists() else _There()
    start = time.perf_counter()
    if there.number:
        rows = read.rows(there.number)
        if progress is not None:
            progress(there.number)
    checked = (_checked(results, row) for row in rows)
    done = _done(session, checked, truncate, progress)
    if run.left_out is None:
        done = map(_raised, done)
    # What fails before its first row is made leaves everything as it was.
    ready = [*itertools.islice(done, 1)]
    if not there.number:
        run.begin(results)
    written = _written(run, results, itertools.chain(ready, done))
    scored = Scored(
        output,
        there.rows + written.rows,
        there.rows,
        time.perf_counter() - start,
        there.left_out + written.left_out,
        written.cut,
        results.columns.renamed,
        written.problem,
    )
    names = ("rows", "resumed", "left_out", "cut", "seconds")
    log("corpus", f"scored {source} into {output}", **{name: getattr(scored, name) for name in names})
    return scored


Done = tuple[TextRow, RowResult] | BadRow
"""A row and what became of it."""


def _results(
    output: Path, session: Session, id: str | None, first: TextRow | None, stream: TextIO | None
) -> Results:
    if output.suffix == ".npz":
        return ArrayResults(output, session, id, first)
    return RecordResults(output, session, id, first, stream)


def _first(
    rows: Iterator[TextRow | BadRow],
) -> tuple[TextRow | None, Iterator[TextRow | BadRow]]:
    """The first row that can be read, and all of them."""
    seen: list[TextRow | BadRow] = []
    for row in rows:
        seen.append(row)
        if isinstance(row, TextRow):
            return row, itertools.chain(seen, rows)
    return None, iter(seen)


def _checked(results: Results, row: TextRow | BadRow) -> TextRow | BadRow:
    """A row, bad where the results have no room for what it has."""
    if isinstance(row, BadRow):
        return row
    try:
        results.columns.check(row)
    except InputError as error:
        return BadRow.refused(row, error)
    return row


def _done(
    session: Session,
    rows: Iterable[TextRow | BadRow],
    truncate: bool,
    progress: Callable[[int], None] | None,
) -> Iterator[Done]:
    """Every row and what became of it, in order."""
    waiting: deque[TextRow | BadRow] = deque()

    def contents() -> Iterator[Any]:
        for row in rows:
            waiting.append(row)
            if isinstance(row, TextRow):
                yield row.content
            elif progress is not None:
                progress(1)

    for result in session.predict_each(contents(), truncate=truncate, progress=progress):
        while isinstance(row := waiting.popleft(), BadRow):
            yield row
        yield (row, result) if result.error is None else BadRow.refused(row, result.error.why)
    yield from (row for row in waiting if isinstance(row, BadRow))


def _raised(done: Done) -> Done:
    """What was done, or the error where a row is bad."""
    if isinstance(done, BadRow):
        more = Argument("skip_bad", "FILE")
        *parts, last = done.error.parts
        end = last.removesuffix(".") if isinstance(last, str) else last
        raise InputError(*parts, end, "; ", more, " leaves such rows out") from done.error
    return done


@dataclass
class _Written:
    rows: int = 0
    left_out: int = 0
    cut: int = 0
    problem: str | None = None


def _written(run: _Run, results: Results, every: Iterable[Done]) -> _Written:
    written = _Written()
    try:
        with ExitStack() as stack:
            # The side file is open longer: what is in it is there before what comes behind it.
            leave = None if run.left_out is None else stack.enter_context(run.left_out.append())
            put = stack.enter_context(results.open())
            for done in every:
                if isinstance(done, BadRow):
                    assert leave is not None
                    leave(done)
                    written.left_out += 1
                    written.problem = written.problem or str(done.error)
                    continue
                put(*done)
                written.rows += 1
                written.cut += done[1].cut > 0
    except BaseException as error:
        if run.stream is None and not _any_row(results):
            run.clear(results)
        if isinstance(error, OSError):
            where = results.path if run.stream is None else "standard output"
            raise FileError(f"{where}: cannot be written: {reason(error)}") from error
        raise
    return written


def _any_row(results: Results) -> bool:
    """Whether there is something to go on with."""
    try:
        return results.whole_rows() > 0
    except (BiportError, OSError):
        return False


@dataclass(frozen=True)
class _There:
    """What an earlier run has left.

    Args:
        rows: of results.
        left_out: rows in the side file.
        number: that of the last row that is in either.
    """

    rows: int = 0
    left_out: int = 0
    number: int = 0


@dataclass(frozen=True)
class _Run:
    """What of a run lies on disk beside its results."""

    session: Session
    source: Source
    output: Path
    id: str | None
    left_out: LeftOut | None
    stream: TextIO | None

    @property
    def record(self) -> Path:
        """What says of what model and input the rows are."""
        return self.output.with_name(f"{self.output.name}.run")

    def check(self, resume: bool, overwrite: bool) -> None:
        """Refuse files that are not to be written, and an input that is not to be read.

        Raises:
            InputError: naming it.
        """
        if self.output.suffix not in FORMATS:
            raise InputError(f"{self.output}: results are written to files that end in {', '.join(FORMATS)}")
        self.source.check(self.session)
        targets = [] if self.stream is not None else [self.output]
        targets += [] if self.left_out is None else [self.left_out.path]
        for target in targets:
            if self.source.again and target.resolve() == Path(self.source.path).resolve():
                raise InputError(f"{target}: is the input")
            if not resume:
                check_target(target, overwrite)
        if len(targets) > 1 and targets[0].resolve() == targets[1].resolve():
            raise InputError(f"{self.output}: the rows that are left out go to another file than the results")
        if resume and (self.stream is not None or not self.source.again):
            raise InputError(Argument("resume", True), ": goes from a file to a file, not through pipes")

    def there(self, results: Results) -> _There:
        """What there is to go on behind; what is left out behind the last whole row is left out anew.

        Raises:
            InputError: it is of another run.
        """
        known = self._known()
        rows = results.whole_rows()
        named = known.get("skip_bad")
        if named is None:
            return self._marked(known, _There(rows, 0, rows))
        if self.left_out is None or self.left_out.path.name != named:
            raise InputError(
                f"{self.output}: rows were left out of it; ",
                Argument("skip_bad", named),
                " goes on with that",
            )
        if not self.left_out.path.exists():
            raise InputError(f"{self.left_out.path}: is missing, and {self.output} goes on with it alone")
        numbers = self.left_out.numbers()
        last, kept = _last_row(rows, numbers)
        self.left_out.keep(kept)
        return _There(rows, kept, last)

    def _marked(self, known: Mapping[str, Any], there: _There) -> _There:
        """The same, with the side file in the record where there is one from here on."""
        if self.left_out is not None:
            self.left_out.path.unlink(missing_ok=True)
            write_json(self.record, {**known, "skip_bad": self.left_out.path.name})
        return there

    def begin(self, results: Results) -> None:
        """Write down what is to be known of a run, and clear what is there."""
        if self.stream is not None:
            return
        if self.source.again:
            more = {} if self.left_out is None else {"skip_bad": self.left_out.path.name}
            write_json(self.record, self._identity(None) | more)
        results.clear()
        if self.left_out is not None:
            self.left_out.path.unlink(missing_ok=True)

    def clear(self, results: Results) -> None:
        """Leave nothing."""
        results.clear()
        self.record.unlink(missing_ok=True)
        if self.left_out is not None:
            self.left_out.path.unlink(missing_ok=True)

    def _known(self) -> dict[str, Any]:
        """What the record says, where it is of this run."""
        if not self.record.exists():
            raise InputError(
                f"{self.output}: cannot be taken up again without {self.record}; ", ANEW, " begins anew"
            )
        known = read_json(self.record)
        length = known.get("bytes") if isinstance(known, dict) else None
        if not isinstance(length, int) or length < 0:
            raise FileError(
                f"{self.record}: is not what a run leaves beside its output; ", ANEW, " begins anew"
            )
        # As many bytes as there were then: the input may have grown since.
        identity = self._identity(length)
        # Earlier versions said nothing of tokenisers, and had no alphabets: those of the file were all.
        own = {name: identity.get(name) for name in ("tokenizer", "alphabet")} | {**known}
        other = [key for key, value in identity.items() if own.get(key) != value]
        if other:
            raise InputError(
                f"{self.output}: holds rows of another {' and '.join(other)}; ", ANEW, " begins anew"
            )
        return known

    def _identity(self, length: int | None) -> dict[str, Any]:
        try:
            with self.session.path.open("rb") as model:
                digest = hashlib.file_digest(model, "sha256").hexdigest()
            alphabet = self.session.alphabet and to_data(self.session.alphabet)
            known = self.source.identity(self.session, length)
            return {"model": digest, **known, "id": self.id, "alphabet": alphabet}
        except OSError as error:
            raise FileError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _last_row(rows: int, left_out: Sequence[int]) -> tuple[int, int]:
    """The number of the last row of results, and how many rows in front of it were left out.

    Example:
        >>> _last_row(4, [2, 3, 7])
        (6, 2)
    """
    last = rows
    for kept, number in enumerate(left_out):
        if number > last:
            return last, kept
        last += 1
    return last, len(left_out)
