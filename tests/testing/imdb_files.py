"""Tiny files in the layouts of the film reviews, made up on the spot."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biport.data.imdb_rows import Rows

REVIEWS = {
    "train/pos/0_9.txt": b"So good, so very good.<br />",
    "train/pos/10_7.txt": b"Good.",
    "train/pos/9_10.txt": "Très good\u2019s good".encode(),
    "train/neg/0_1.txt": b"Bad, so bad.",
    "train/neg/2_4.txt": b"Not good",
    "test/pos/0_8.txt": b"Good and unseen",
    "test/neg/0_2.txt": b"Bad\nand worse",
    "test/neg/1_3.txt": b"bad bad",
}
OTHERS = {
    "README": b"read me",
    "imdb.vocab": b"so\n",
    "train/unsup/0_0.txt": b"\xff",
    "train/urls_pos.txt": b"",
    "old/aclImdb/train/pos/1_1.txt": b"Bad",
}


def make_folder(root: Path, files: Mapping[str, bytes] = REVIEWS | OTHERS) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def make_archive(
    path: Path,
    files: Mapping[str, bytes] = REVIEWS | OTHERS,
    prefix: str = "aclImdb/",
    members: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    damage: Callable[[bytes], bytes] = lambda content: content,
    layout: int = tarfile.GNU_FORMAT,
) -> Path:
    """An archive of ``files`` and then ``members``; ``damage`` changes it before it is compressed."""
    unpacked = io.BytesIO()
    with tarfile.TarFile(fileobj=unpacked, mode="w", format=layout) as archive:
        for name, content in files.items():
            archive.addfile(_sized(tarfile.TarInfo(prefix + name), content), io.BytesIO(content))
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(damage(unpacked.getvalue()), mtime=0))
    return path


def _sized(member: tarfile.TarInfo, content: bytes) -> tarfile.TarInfo:
    member.size = len(content)
    return member


def npy(array: Any, protocol: int = 4) -> bytes:
    """The bytes of an ``.npy`` file, objects pickled in ``protocol``."""
    file = io.BytesIO()
    if array.dtype != object:
        np.save(file, array)
        return file.getvalue()
    header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickle.dumps(array, protocol)


def lists(rows: Iterable[Any]) -> Any:
    """An array of objects with a row each."""
    rows = list(rows)
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def make_npz(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


GOOD = {
    "x_train": npy(lists([[1, 14, 22], [9], [3, 3, 3, 3, 5000], []])),
    "y_train": npy(np.array([1, 0, 0, 1])),
    "x_test": npy(lists([[7, 88], [4, 2, 1]])),
    "y_test": npy(np.array([0, 1])),
}
"""The arrays of a small ``imdb.npz``."""


def equal_rows(first: tuple[Rows, Rows], second: tuple[Rows, Rows]) -> bool:
    """Whether training and test rows are the same, ids and labels."""
    arrays = [[*train, *test] for train, test in (first, second)]
    assert all(array.dtype == np.int32 for array in arrays[0])
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))
