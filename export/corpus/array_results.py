"""Results as an ``.npz`` that grows: an array for each output and each other column, a row a row."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from biport.data.text_rows import TextRow
from biport.dims import known
from biport.errors import FileError, InputError
from biport.files import atomic_file
from export.corpus.columns import ROW, Columns
from export.corpus.records import RecordFile, field
from export.corpus.results import Put, Results
from export.runtime.streams import RowResult
from export.session import Session

BLOCK = 2**20
TEXTS = "texts.jsonl"
"""The part that holds what is text, a list a row."""


@final
class ArrayResults(Results):
    """An ``.npz`` of each output by name, of the rows' numbers, and of the other columns as texts.

    While it grows it is a folder ``<path>.parts``.

    Raises:
        InputError: an output's rows are not all of one shape.
    """

    def __init__(self, path: Path, session: Session, id: str | None, first: TextRow | None) -> None:
        super().__init__(path, session, id, first)
        self.numbered = id is None
        self.parts = path.with_name(f"{path.name}.parts")
        for value in session.output_values:
            if any(not isinstance(size, int) for size in value.shape[1:]):
                raise InputError(
                    f"{path}: rows of output {value.name!r} {value.tensor} differ in shape; write .jsonl"
                )
        numbers = {ROW: np.dtype("int64")} if self.numbered else {}
        self.rows: dict[str, np.dtype] = numbers | {
            name: np.dtype((np.dtype(value.dtype), tuple(map(known, value.shape[1:]))))
            for name, value in zip(self.columns.own, session.output_values, strict=True)
        }
        """What a row is in each array of numbers."""
        self.texts = [*([] if self.numbered else [self.columns.id]), *self.columns.others.values()]
        """The arrays of texts."""

    def _columns(self, id: str | None, first: TextRow | None) -> Columns:
        return Columns(id, self.session.output_names, first, fixed=True)

    def exists(self) -> bool:
        """Whether the file or its parts are there."""
        return self.path.exists() or self.parts.exists()

    def clear(self) -> None:
        """No parts, no file."""
        shutil.rmtree(self.parts, ignore_errors=True)
        self.path.unlink(missing_ok=True)

    def whole_rows(self) -> int:
        """Rows that are in every part; what one has more is cut off."""
        if not self.parts.exists():
            self._take_apart()
        files = [self._part(name) for name in self.rows]
        sizes = [file.stat().st_size if file.exists() else 0 for file in files]
        counts = [size // row.itemsize for size, row in zip(sizes, self.rows.values(), strict=True)]
        texts = RecordFile(self.parts / TEXTS, "")
        if self.texts:
            counts.append(texts.whole() if texts.path.exists() else 0)
        for file, row in zip(files, self.rows.values(), strict=True):
            if file.exists():
                os.truncate(file, min(counts) * row.itemsize)
        if self.texts and texts.path.exists():
            texts.cut(min(counts))
        return min(counts)

    @contextmanager
    def open(self) -> Iterator[Put]:
        """Append to the parts, and put them together at the end."""
        self.parts.mkdir(exist_ok=True)
        with ExitStack() as stack:
            files = [stack.enter_context(self._part(name).open("ab")) for name in self.rows]
            write = stack.enter_context(RecordFile(self.parts / TEXTS, "").append())

            def put(row: TextRow, result: RowResult) -> None:
                for file, (name, kind), array in zip(
                    files, self.rows.items(), self._arrays(row, result), strict=True
                ):
                    if array.shape != kind.shape:
                        raise InputError(f"{row.owner}: {name}: expected {kind.shape}, found {array.shape}")
                    file.write(array.astype(kind.base, copy=False).tobytes())
                if self.texts:
                    write(json.dumps([*map(field, self._texts(row))]) + "\n")

            yield put
        self._put_together()

    def _arrays(self, row: TextRow, result: RowResult) -> Sequence[np.ndarray]:
        numbers = [np.array(row.number)] if self.numbered else []
        return [*numbers, *result.outputs]

    def _texts(self, row: TextRow) -> list[Any]:
        names = [] if self.numbered else [self.columns.identity(row)]
        return [*names, *self.columns.beside(row).values()]

    def _part(self, name: str) -> Path:
        return self.parts / f"{list(self.rows).index(name)}.bin"

    def _put_together(self) -> None:
        with (
            atomic_file(self.path) as draft,
            zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
        ):
            for name, row in self.rows.items():
                part = self._part(name)
                shape = (part.stat().st_size // row.itemsize, *row.shape)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file, part.open("rb") as numbers:
                    _write_head(file, row.base, shape)
                    shutil.copyfileobj(numbers, file, BLOCK)
            self._put_texts(archive)
        shutil.rmtree(self.parts)

    def _put_texts(self, archive: zipfile.ZipFile) -> None:
        """The arrays of texts, each as wide as its longest: deflated, since most of that is zeros."""
        widths, count = [1] * len(self.texts), 0
        for count, texts in enumerate(self._stored_texts(), 1):  # noqa: B007
            widths = [max(width, len(text)) for width, text in zip(widths, texts, strict=True)]
        for index, (name, width) in enumerate(zip(self.texts, widths, strict=True)):
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as file:
                _write_head(file, np.dtype(f"<U{width}"), (count,))
                for texts in self._stored_texts():
                    file.write(texts[index].encode("utf-32-le").ljust(4 * width, b"\0"))

    def _stored_texts(self) -> Iterator[list[str]]:
        with (self.parts / TEXTS).open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def _take_apart(self) -> None:
        """The parts of a file that is whole already."""
        draft = self.parts.with_name(f"{self.parts.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            with zipfile.ZipFile(self.path) as archive:
                for index, name in enumerate(self.rows):
                    with archive.open(f"{name}.npy") as file, (draft / f"{index}.bin").open("wb") as part:
                        _read_head(file)
                        shutil.copyfileobj(file, part, BLOCK)
                with (draft / TEXTS).open("w", encoding="utf-8") as texts, ExitStack() as stack:
                    columns = [
                        _texts_in(stack.enter_context(archive.open(f"{name}.npy"))) for name in self.texts
                    ]
                    texts.writelines(json.dumps(row) + "\n" for row in zip(*columns, strict=True))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise FileError(f"{self.path}: does not hold results of this model ({error})") from error
        draft.rename(self.parts)


def _write_head(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    head = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)  # type: ignore[arg-type]


def _read_head(file: IO[bytes]) -> np.dtype:
    np.lib.format.read_magic(file)  # type: ignore[arg-type]
    _, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[arg-type]
    return dtype


def _texts_in(file: IO[bytes]) -> Iterator[str]:
    """The texts of an array, one at a time."""
    dtype = _read_head(file)
    if dtype.kind != "U":
        raise ValueError(f"texts expected, {dtype} found")
    while text := file.read(dtype.itemsize):
        yield text.decode("utf-32-le").rstrip("\0")
