"""The film reviews in the layout of Keras' ``imdb.npz``, from a file that may come from anywhere.

Source: the file that ``keras.datasets.imdb.load_data`` downloads: ``x_train`` and ``x_test`` are arrays of
objects, a list of word ranks a review, ``y_train`` and ``y_test`` are whole numbers, 1 for positive.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biport.data.pickled import read_sequences
from biport.errors import FileError

NAMES = ("x_train", "y_train", "x_test", "y_test")
MAX_MEMBER_BYTES = 256 * 2**20
"""The largest member of Keras' own file has about a tenth of it."""
# Ids get 3 added, and are int32.
_MAX_RANK = 2**31 - 4
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class Ranked:
    """Reviews as ranks of words from 1, and labels of shape (N,), 1 for positive."""

    train_rows: list[NDArray[np.int64]]
    train_labels: NDArray[np.int32]
    test_rows: list[NDArray[np.int64]]
    test_labels: NDArray[np.int32]


def read_imdb_npz(path: str | os.PathLike[str]) -> Ranked:
    """Read the reviews in the order of the file; no pickle in it is run (`biport.data.pickled`).

    Raises:
        FileError: naming the file, the array, and what was expected.
    """
    name = os.fspath(path)
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            members = {member: _read_member(archive, name, member) for member in NAMES}
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror or error}.") from error
    except _DAMAGED as error:
        raise FileError(
            f"{name}: expected an .npz archive, found a damaged or foreign one: {error}."
        ) from error
    parts = []
    for part in ("train", "test"):
        rows = _rows(members.pop(f"x_{part}"), f"{name}: x_{part}")
        labels = _labels(members.pop(f"y_{part}"), f"{name}: y_{part}")
        if len(rows) != len(labels) or not rows:
            raise FileError(
                f"{name}: expected as many reviews as labels for {part}, and one at least; "
                f"found {len(rows)} and {len(labels)}."
            )
        parts += [rows, labels]
    return Ranked(*parts)


def _read_member(archive: zipfile.ZipFile, name: str, member: str) -> bytes:
    try:
        entry = archive.getinfo(f"{member}.npy")
    except KeyError:
        names = ", ".join(archive.namelist()[:10]) or "nothing"
        raise FileError(f"{name}: expected the arrays {', '.join(NAMES)}, found {names[:200]}.") from None
    # What else zipfile reads may ask for gigabytes before it has read a byte.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(f"{name}: {member}: expected plain or deflated bytes, found another compression.")
    with archive.open(entry) as file:
        data = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise FileError(f"{name}: {member}: expected at most {MAX_MEMBER_BYTES} bytes, found more.")
    return data


def _header(data: bytes, owner: str) -> tuple[tuple[int, ...], np.dtype, bytes]:
    """Shape, dtype and what follows the header."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise FileError(f"{owner}: expected an array in NumPy's format, found something else.") from error
    return shape, dtype, data[file.tell() :]


def _rows(data: bytes, owner: str) -> list[NDArray[np.int64]]:
    shape, dtype, content = _header(data, owner)
    if dtype != np.dtype(object) or len(shape) != 1:
        raise FileError(f"{owner}: expected an array of lists, found {dtype} of shape {shape}.")
    try:
        rows = read_sequences(content)
    except ValueError as error:
        raise FileError(
            f"{owner}: expected lists of whole numbers, found something else: {error}."
        ) from error
    if len(rows) != shape[0]:
        raise FileError(f"{owner}: expected {shape[0]} reviews, found {len(rows)}.")
    for position, row in enumerate(rows):
        if row.size and not (row.min() >= 0 and row.max() <= _MAX_RANK):
            raise FileError(
                f"{owner}: review {position}: expected ranks of words, found {row.min()} or {row.max()}."
            )
    return rows


def _labels(data: bytes, owner: str) -> NDArray[np.int32]:
    shape, dtype, content = _header(data, owner)
    if dtype.kind not in "iub" or len(shape) != 1:
        raise FileError(f"{owner}: expected whole numbers of shape (N,), found {dtype} of shape {shape}.")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise FileError(f"{owner}: expected {shape[0]} numbers, found {len(content)} bytes.")
    labels = np.frombuffer(content, dtype)
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        raise FileError(f"{owner}: label {wrong[0]}: expected 0 or 1, found {labels[wrong[0]]}.")
    return labels.astype(np.int32)
