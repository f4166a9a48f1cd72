"""Which rows of a corpus in Parquet go into which file of results: the same every time it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.errors import FileError, InputError
from biport.files import reason
from export.require import require

SUFFIX = ".parquet"
TAIL = 2**16
"""Bytes at the end of a file, where it says what is in it, by which it is known again."""


@dataclass(frozen=True)
class Part:
    """Rows of one file that are scored together, into one file.

    Args:
        number: from 0, in the order of the rows.
        source: the file.
        start: how many of its rows are in front of these.
        rows: how many these are.
        before: how many rows of all files are in front of these.
    """

    number: int
    source: Path
    start: int
    rows: int
    before: int

    @property
    def name(self) -> str:
        """Of its file of results.

        Example:
            >>> Part(7, Path("a.parquet"), 0, 10, 70).name
            'part-00007.parquet'
        """
        return f"part-{self.number:05}{SUFFIX}"

    def beside(self, kind: str) -> str:
        """The name of a file that lies beside it, and that readers of Parquet pass over."""
        return f"_part-{self.number:05}.{kind}"


def sources(path: Path) -> list[Path]:
    """The Parquet files that a path is: itself, or those of a folder in the order of their names.

    Raises:
        InputError: there is none.
    """
    if path.is_file() and path.suffix == SUFFIX:
        return [path]
    # What begins so is no data to any reader of Parquet.
    files = [file for file in sorted(path.glob(f"*{SUFFIX}")) if not file.name.startswith(("_", "."))]
    if not files:
        raise InputError(f"{path}: is no {SUFFIX} file, and no folder that has one")
    return files


def open_parquet(path: Path) -> Any:
    """A ``pyarrow.parquet.ParquetFile``.

    Raises:
        FileError: it is none.
        MissingDependencyError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "reading Parquet", "parquet")
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own are one of these
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise FileError(f"{path}: is not a Parquet file that can be read: {why.splitlines()[0]}") from error


def plan(files: Sequence[Path], part_rows: int) -> list[Part]:
    """All rows of the files in parts of at most ``part_rows`` rows; no part has rows of two files.

    Raises:
        FileError: one of them is no Parquet file, or has other columns than the first.
    """
    ranges = [*_ranges(files, part_rows)] or [(files[0], 0, 0, 0)]
    return [Part(number, *rows) for number, rows in enumerate(ranges)]


def count_rows(files: Sequence[Path]) -> int:
    """The rows of all files.

    Raises:
        FileError: one of them is no Parquet file.
    """
    return sum(_rows(file) for file in files)


def _rows(file: Path) -> int:
    with open_parquet(file) as parquet:
        return parquet.metadata.num_rows


def _ranges(files: Sequence[Path], part_rows: int) -> Iterator[tuple[Path, int, int, int]]:
    before, schema = 0, None
    for file in files:
        with open_parquet(file) as parquet:
            rows, own = parquet.metadata.num_rows, parquet.schema_arrow
        schema = own if schema is None else schema
        if not own.equals(schema):
            raise FileError(f"{file}: has other columns than {files[0]}, or columns of other types")
        for start in range(0, rows, part_rows):
            yield file, start, min(part_rows, rows - start), before + start
        before += rows


def identity(files: Sequence[Path]) -> list[dict[str, Any]]:
    """What files are known again by.

    Raises:
        FileError: one cannot be read.
    """
    return [_identity(file) for file in files]


def _identity(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - TAIL))
            digest = hashlib.sha256(opened.read()).hexdigest()
    except OSError as error:
        raise FileError(f"{file}: cannot be read: {reason(error)}") from error
    return {"name": file.name, "bytes": size, "end": digest}
