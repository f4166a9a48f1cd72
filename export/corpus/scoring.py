"""A corpus in a file to a file of results: in constant memory, and taken up again where it was cut off."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from biport.data.text_rows import read_texts
from biport.errors import Argument, BiportError, FileError, InputError
from biport.files import check_target, reason
from biport.json_file import read_json, write_json
from export.corpus.array_results import ArrayResults
from export.corpus.results import CsvLines, JsonLines, Results
from export.session import Session

FORMATS: dict[str, type[Results]] = {".csv": CsvLines, ".jsonl": JsonLines, ".npz": ArrayResults}
"""By how the file's name ends."""
ANEW = Argument("overwrite", True)
HEAD = 2**16
"""Bytes of the input by which it is known again; it may have grown."""


@dataclass(frozen=True)
class Scored:
    """What was done.

    Args:
        output: the file of results.
        rows: how many it holds.
        resumed: how many of them were there already.
        seconds: how long the others took.
    """

    output: Path
    rows: int
    resumed: int
    seconds: float


def score(
    session: Session,
    source: Path,
    output: Path,
    *,
    column: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Scored:
    """Write a row of results for each text of ``source``, in their order.

    Rows go to the output as they are made, each whole before the next. Beside it lies ``<output>.run``, which
    says of what model and input the rows are; a run that was cut off is taken up again with ``resume``.

    Args:
        session: a model of one input with a vocabulary, or one that takes texts.
        source: a ``.txt``, ``.csv`` or ``.jsonl`` file; see `biport.data.read_texts`.
        output: a ``.csv``, ``.jsonl`` or ``.npz`` file.
        column: where the texts are.
        resume: go on behind the rows that are there; from the start where there are none.
        overwrite: begin anew over a file that is there.
        progress: called with how many rows were done since it was called last.

    Raises:
        InputError: the files end in something else or the output exists; with ``resume``, the rows there are
            of another model or input.
        FileError: a file cannot be read or written.
    """
    texts = read_texts(source, column)
    file_type = FORMATS.get(output.suffix)
    if file_type is None:
        raise InputError(f"{output}: results are written to files that end in {', '.join(FORMATS)}")
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is the input")
    if not resume:
        check_target(output, overwrite)
    results = file_type(output, session)
    record = output.with_name(f"{output.name}.run")
    identity = partial(_identity, session, source, column)
    there = _whole_rows(results, record, identity) if resume and results.exists() else None
    start = time.perf_counter()
    skipped = sum(1 for _ in islice(texts, there or 0))
    if there is not None and skipped < there:
        raise InputError(f"{output}: holds {there} rows and {source} only {skipped}")
    if progress is not None and there:
        progress(there)
    predicted = enumerate(session.predict(texts, progress=progress), (there or 0) + 1)
    # What fails before its first row is made leaves everything as it was.
    first = [*islice(predicted, 1)]
    if there is None:
        _begin(results, record, identity)
    rows = _written(results, record, chain(first, predicted), there or 0)
    return Scored(output, rows, there or 0, time.perf_counter() - start)


Row = tuple[int, Sequence[np.ndarray]]
"""Its number, and the model's outputs for it."""


def _begin(results: Results, record: Path, identity: Callable[[int], Mapping[str, Any]]) -> None:
    """Write down what is to be known of a run."""
    write_json(record, identity(HEAD))
    results.clear()


def _written(results: Results, record: Path, predicted: Iterable[Row], there: int) -> int:
    rows = there
    try:
        with results.open() as put:
            for rows, outputs in predicted:
                put(rows, outputs)
    except BaseException as error:
        if not _any_row(results):
            results.clear()
            record.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(f"{results.path}: cannot be written: {reason(error)}") from error
        raise
    return rows


def _any_row(results: Results) -> bool:
    """Whether there is something to go on with."""
    try:
        return results.whole_rows() > 0
    except (BiportError, OSError):
        return False


def _whole_rows(results: Results, record: Path, identity: Callable[[int], Mapping[str, Any]]) -> int:
    """How many whole rows there are to go on behind."""
    if not record.exists():
        raise InputError(f"{results.path}: cannot be taken up again without {record}; ", ANEW, " begins anew")
    known = read_json(record)
    length = known.get("bytes") if isinstance(known, dict) else None
    if not isinstance(length, int) or not 0 <= length <= HEAD:
        raise FileError(f"{record}: is not what a run leaves beside its output; ", ANEW, " begins anew")
    # As many bytes as there were then: the input may have grown since.
    other = [key for key, value in identity(length).items() if known.get(key) != value]
    if other:
        raise InputError(
            f"{results.path}: holds rows of another {' and '.join(other)}; ", ANEW, " begins anew"
        )
    return results.whole_rows()


def _identity(session: Session, source: Path, column: str | None, length: int) -> dict[str, Any]:
    try:
        with session.path.open("rb") as model, source.open("rb") as file:
            digest = hashlib.file_digest(model, "sha256").hexdigest()
            head = file.read(length)
    except OSError as error:
        raise FileError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return {"model": digest, "input": hashlib.sha256(head).hexdigest(), "bytes": len(head), "column": column}
