"""A corpus in a file to a file of results: in constant memory, and taken up again where it was cut off."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from biport.data.json_file import read_json, write_json
from biport.data.text_rows import read_texts
from biport.errors import FileError, InputError
from biport.files import check_target
from export.corpus.array_results import ArrayResults
from export.corpus.results import CsvLines, JsonLines, Results
from export.session import Session

FORMATS: dict[str, type[Results]] = {".csv": CsvLines, ".jsonl": JsonLines, ".npz": ArrayResults}
"""By how the file's name ends."""
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
    there = _there(results, partial(_identity, session, source, column), resume)
    start = time.perf_counter()
    skipped = sum(1 for _ in islice(texts, there))
    if skipped < there:
        raise InputError(f"{output}: holds {there} rows and {source} only {skipped}")
    if progress is not None and there:
        progress(there)
    rows = _written(results, session, texts, there, progress)
    return Scored(output, rows, there, time.perf_counter() - start)


def _written(
    results: Results,
    session: Session,
    texts: Iterator[str],
    there: int,
    progress: Callable[[int], None] | None,
) -> int:
    rows = there
    with results.open() as put:
        for rows, outputs in enumerate(session.predict(texts, progress=progress), there + 1):
            put(rows, outputs)
    return rows


def _there(results: Results, identity: Callable[[int], Mapping[str, Any]], resume: bool) -> int:
    """How many whole rows there are to go on behind; what is to be known of a run is written down."""
    record = results.path.with_name(f"{results.path.name}.run")
    if not resume or not results.exists():
        results.clear()
        write_json(record, identity(HEAD))
        return 0
    if not record.exists():
        raise InputError(f"{results.path}: cannot be taken up again without {record}; --force begins anew")
    known = read_json(record)
    length = known.get("bytes") if isinstance(known, dict) else None
    if not isinstance(length, int) or not 0 <= length <= HEAD:
        raise FileError(f"{record}: is not what a run leaves beside its output; --force begins anew")
    # As many bytes as there were then: the input may have grown since.
    other = [key for key, value in identity(length).items() if known.get(key) != value]
    if other:
        raise InputError(f"{results.path}: holds rows of another {' and '.join(other)}; --force begins anew")
    return results.whole_rows()


def _identity(session: Session, source: Path, column: str | None, length: int) -> dict[str, Any]:
    try:
        with session.path.open("rb") as model, source.open("rb") as file:
            digest = hashlib.file_digest(model, "sha256").hexdigest()
            head = file.read(length)
    except OSError as error:
        raise FileError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return {"model": digest, "input": hashlib.sha256(head).hexdigest(), "bytes": len(head), "column": column}
