"""A corpus in Parquet to a folder of Parquet, part by part: taken up again where it was cut off."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, InputError
from biport.files import check_folder_name, check_target, reason
from biport.json_file import read_json, write_json
from biport.log import log
from biport.text.inputs import to_data
from export.corpus.left_out import LeftOut
from export.corpus.scoring import Scored
from export.corpus.sources import check_reads_texts
from export.scale.on_ray import Actors, on_ray
from export.scale.part import Layout, LeftRow, PartResult, Settings, read_left_out, score_part
from export.scale.plan import Part, count_rows, identity, open_parquet, plan, sources
from export.session import Session

RECORD = "_run.json"
ANEW = Argument("overwrite", True)
OWN = re.compile(r"_run\.json|_?part-\d{5,}\.(parquet|jsonl|tries)|\.(part-|_).*\.tmp")
"""The names of what a run leaves in its folder."""
PART_ROWS = 10_000
PARTS = 8
"""Parts an actor at least, so that none waits long for another."""


@dataclass(frozen=True)
class ScoredParts(Scored):
    """What was done; the output is a folder.

    Args:
        parts: in how many files the rows are.
        retries: how often a part was begun anew because a worker died.
    """

    parts: int = 0
    retries: int = 0


def score_parquet(
    session: Session,
    source: Path,
    output: Path,
    *,
    column: str | None = None,
    id: str | None = None,
    truncate: bool = False,
    skip_bad: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    part_rows: int | None = None,
    actors: Actors | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredParts:
    """Write the results of the texts of ``source`` into the folder ``output``.

    Its files are ``part-00000.parquet`` and so on, in the order of the rows: which rows are in which, and
    what is in them, is the same whoever scores them. They have the columns that ``biport run`` gives a table,
    the input's with their own types. A file is there whole or not at all; what is there already is not made
    again with ``resume``, and ``_run.json`` says of what model and input it is.

    Args:
        session: a model of one input that says how ids are made of texts, or one that takes texts.
        source: a ``.parquet`` file, or a folder of some.
        output: a folder.
        column: where the texts are.
        id: the column that names the rows; ``None`` for their numbers.
        truncate: cut the end off rows that are longer than a model of fixed length takes.
        skip_bad: a ``.csv``, ``.tsv`` or ``.jsonl`` file for the rows that cannot be read or run; without it
            the first of them is an error.
        resume: make the parts that are missing.
        overwrite: begin anew over what a run has left.
        part_rows: the rows of a file; by default 10,000, or fewer so that all actors have work.
        actors: who scores, on Ray; ``None`` for this process.
        progress: called with the rows that are done, and with all.

    Raises:
        InputError: the folder is there already; a row is bad; with ``resume``, what is there is of another
            model or input; or the cluster cannot be used.
        FileError: a file cannot be read or written.
        MissingDependencyError: pyarrow or ray is not installed.
    """
    check_reads_texts(session)
    files = sources(source)
    side = None if skip_bad is None else LeftOut(skip_bad)
    settings = Settings(column, id, truncate, skip_bad is not None)
    with open_parquet(files[0]) as parquet:
        layout = Layout(session, parquet.schema_arrow, settings, str(files[0]))
    targets = [output] if skip_bad is None else [output, skip_bad]
    for target in targets if not resume else ():
        check_target(target, overwrite)
    known = _identity(session, files, settings)
    fresh = _open_folder(output, resume)
    size = part_rows or _size(count_rows(files), 1 if actors is None else actors.count)
    if not fresh:
        size = _known_size(output, known, part_rows)
    parts = plan(files, size)
    start = time.perf_counter()
    with _folder(output, fresh, known | {"part_rows": size}):
        todo = [part for part in parts if not (output / part.name).exists()]
        there = {part.number for part in parts} - {part.number for part in todo}
        tally = _Tally(sum(part.rows for part in parts), sum(part.rows for part in todo), progress)
        with closing(_every(session, todo, output, settings, actors)) as every:
            for done in every:
                _raise(done, settings)
                tally.add(done, parts[done.number])
        left_out = {part.number: read_left_out(output, part) for part in parts}
        if side is not None:
            _write_side_file(side, [row for rows in left_out.values() for row in rows])
    resumed = [part.rows - len(left_out[part.number]) for part in parts if part.number in there]
    every_row = [row for rows in left_out.values() for row in rows]
    scored = ScoredParts(
        output,
        rows=tally.total - len(every_row),
        parts=len(parts),
        resumed=sum(resumed),
        seconds=time.perf_counter() - start,
        left_out=len(every_row),
        cut=tally.cut,
        retries=tally.retries,
        renamed=layout.columns.renamed,
        problem=every_row[0].message if every_row else None,
    )
    log("corpus", f"scored {source} into {output}", **_counts(scored))
    return scored


def _counts(scored: ScoredParts) -> dict[str, Any]:
    names = ("rows", "parts", "resumed", "left_out", "cut", "retries", "seconds")
    return {name: getattr(scored, name) for name in names}


@dataclass
class _Tally:
    """What is counted while parts are done: of all rows how many, and of these how many are to be done."""

    total: int
    left: int
    progress: Callable[[int, int], None] | None
    cut: int = 0
    retries: int = 0

    def __post_init__(self) -> None:
        self._show()

    def add(self, done: PartResult, part: Part) -> None:
        self.left -= part.rows
        self.cut += done.cut
        self.retries += done.tries - 1
        fields = {"rows": done.rows, "left_out": len(done.left_out), "seconds": done.seconds}
        log("corpus", f"scored {part.name}", logging.DEBUG, **fields)
        self._show()

    def _show(self) -> None:
        if self.progress is not None:
            self.progress(self.total - self.left, self.total)


def _every(
    session: Session, parts: Sequence[Part], folder: Path, settings: Settings, actors: Actors | None
) -> Generator[PartResult, None, None]:
    """What becomes of each part, as it is done."""
    if actors is not None and parts:
        yield from on_ray(session, parts, folder, settings, actors)
        return
    for part in parts:
        start = time.perf_counter()
        done = score_part(session, part, folder, settings, workers=None)
        done.seconds = time.perf_counter() - start
        yield done


def _raise(done: PartResult, settings: Settings) -> None:
    if done.problem is not None:
        raise FileError(done.problem)
    if done.left_out and not settings.skip_bad:
        more = Argument("skip_bad", "FILE")
        raise InputError(done.left_out[0].message, "; ", more, " leaves such rows out")


def _size(rows: int, actors: int) -> int:
    """The rows of a part where nobody says it."""
    return max(1, min(PART_ROWS, math.ceil(rows / (PARTS * actors)))) if actors > 1 else PART_ROWS


def _open_folder(output: Path, resume: bool) -> bool:
    """Whether the folder is begun anew; what is none of a run is not taken away.

    Raises:
        InputError: it is a file, or holds something else.
    """
    check_folder_name(output)
    if not output.exists():
        return True
    foreign = sorted(path.name for path in output.iterdir() if not OWN.fullmatch(path.name))
    if foreign:
        raise InputError(f"{output}: holds {foreign[0]!r}, which no run has left there")
    if not resume:
        return True
    if not (output / RECORD).exists():
        raise InputError(
            f"{output}: cannot be taken up again without {output / RECORD}; ", ANEW, " begins anew"
        )
    return False


@contextmanager
def _folder(output: Path, fresh: bool, record: Mapping[str, Any]) -> Iterator[None]:
    """The folder of results: gone again where no part came into it, and without what was killed halfway."""
    if fresh:
        shutil.rmtree(output, ignore_errors=True)
    try:
        output.mkdir(exist_ok=True)
        write_json(output / RECORD, record)
        yield
    except OSError as error:
        raise FileError(f"{output}: cannot be written: {reason(error)}") from error
    finally:
        for draft in output.glob(".*.tmp"):
            shutil.rmtree(draft, ignore_errors=True)
        for tries in output.glob("_part-*.tries"):
            tries.unlink(missing_ok=True)
        if not any(output.glob("part-*")):
            shutil.rmtree(output, ignore_errors=True)


def _identity(session: Session, files: Sequence[Path], settings: Settings) -> dict[str, Any]:
    with session.path.open("rb") as model:
        digest = hashlib.file_digest(model, "sha256").hexdigest()
    tokenizers = json.dumps(to_data(session.tokenizers), sort_keys=True).encode()
    known = {"model": digest, "tokenizer": hashlib.sha256(tokenizers).hexdigest(), "input": identity(files)}
    return known | {"column": settings.column, "id": settings.id, "truncate": settings.truncate}


def _known_size(output: Path, known: Mapping[str, Any], part_rows: int | None) -> int:
    """The rows of a part of the run that has left a folder.

    Raises:
        InputError: that was another.
        FileError: it does not say.
    """
    record = read_json(output / RECORD)
    size = record.get("part_rows") if isinstance(record, dict) else None
    if not isinstance(size, int) or size < 1:
        raise FileError(f"{output / RECORD}: is not what a run leaves in its folder; ", ANEW, " begins anew")
    other = [key for key, value in known.items() if record.get(key) != value]
    other += ["part_rows"] if part_rows not in (None, size) else []
    if other:
        raise InputError(f"{output}: holds rows of another {' and '.join(other)}; ", ANEW, " begins anew")
    return size


def _write_side_file(side: LeftOut, left_out: Sequence[LeftRow]) -> None:
    side.path.unlink(missing_ok=True)
    with side.append() as put:
        for row in left_out:
            put(row.bad())
