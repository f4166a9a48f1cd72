"""Results as an ``.npz`` that grows: an array for each output, a row a row."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import final

import numpy as np

from biport.dims import known
from biport.errors import FileError, InputError
from biport.files import atomic_file
from export.corpus.results import BLOCK, Put, Results
from export.session import Session


@final
class ArrayResults(Results):
    """An ``.npz`` of each output by name; while it grows, a folder ``<path>.parts`` of plain numbers.

    Raises:
        InputError: an output's rows are not all of one shape.
    """

    def __init__(self, path: Path, session: Session) -> None:
        super().__init__(path, session)
        self.parts = path.with_name(f"{path.name}.parts")
        for value in session.output_values:
            if any(not isinstance(size, int) for size in value.shape[1:]):
                raise InputError(
                    f"{path}: rows of output {value.name!r} {value.tensor} differ in shape; write .jsonl"
                )
        self.rows = {
            value.name: np.dtype((np.dtype(value.dtype), tuple(map(known, value.shape[1:]))))
            for value in session.output_values
        }

    def exists(self) -> bool:
        """Whether the file or its parts are there."""
        return self.path.exists() or self.parts.exists()

    def clear(self) -> None:
        """No parts, no file."""
        shutil.rmtree(self.parts, ignore_errors=True)
        self.path.unlink(missing_ok=True)

    def whole_rows(self) -> int:
        """Rows that are in the parts of every output; what one has more is cut off."""
        if not self.parts.exists():
            self._take_apart()
        files = [self._part(name) for name in self.rows]
        sizes = [file.stat().st_size if file.exists() else 0 for file in files]
        counts = [size // row.itemsize for size, row in zip(sizes, self.rows.values(), strict=True)]
        for file, row in zip(files, self.rows.values(), strict=True):
            if file.exists():
                os.truncate(file, min(counts) * row.itemsize)
        return min(counts)

    @contextmanager
    def open(self) -> Iterator[Put]:
        """Append to the parts, and put them together at the end."""
        self.parts.mkdir(exist_ok=True)
        with ExitStack() as stack:
            files = [stack.enter_context(self._part(name).open("ab")) for name in self.rows]

            def put(number: int, outputs: Sequence[np.ndarray]) -> None:
                for file, row, array in zip(files, self.rows.values(), outputs, strict=True):
                    if array.shape != row.shape:
                        raise InputError(f"row {number}: expected shape {row.shape}, found {array.shape}")
                    file.write(array.astype(row.base, copy=False).tobytes())

            yield put
        self._put_together()

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
                    head = {"descr": row.base.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, head)
                    shutil.copyfileobj(numbers, file, BLOCK)
        shutil.rmtree(self.parts)

    def _take_apart(self) -> None:
        """The parts of a file that is whole already."""
        draft = self.parts.with_name(f"{self.parts.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            with zipfile.ZipFile(self.path) as archive:
                for index, name in enumerate(self.rows):
                    with archive.open(f"{name}.npy") as file, (draft / f"{index}.bin").open("wb") as part:
                        np.lib.format.read_magic(file)  # type: ignore[arg-type]
                        np.lib.format.read_array_header_1_0(file)  # type: ignore[arg-type]
                        shutil.copyfileobj(file, part, BLOCK)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise FileError(f"{self.path}: does not hold results of this model ({error})") from error
        draft.rename(self.parts)
