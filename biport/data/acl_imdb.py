"""The Large Movie Review Dataset, ``aclImdb``: as a folder, or as the archive it comes in, not unpacked.

``{train,test}/{neg,pos}/ID_RATING.txt`` are the labelled reviews; all else is passed over. A rating from 7 to
10 is positive, one from 1 to 4 negative.

Source: https://ai.stanford.edu/~amaas/data/sentiment/ (Maas et al. 2011), and the README inside.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from biport.data.lines import decode
from biport.data.reviews import Reviews
from biport.errors import FileError

RATINGS = {"neg": range(1, 5), "pos": range(7, 11)}
FOLDERS = [(part, label) for part in ("train", "test") for label in RATINGS]
MAX_REVIEW_BYTES = 2**20
MAX_MEMBERS = 500_000
MAX_ARCHIVE_BYTES = 2**30
"""Unpacked; the archive itself has about a third of it, and a fifth of the members."""

_NAME = re.compile(r"(\d{1,9})_(\d{1,2})\.txt")
_MAX_READ = 4 * 2**20
# RecursionError: headers in front of headers.
_DAMAGED = (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError, RecursionError)

Entry = tuple[str, str, str, str, bytes]
"""Where it is in words, ``train`` or ``test``, ``neg`` or ``pos``, the file's name, and what it holds."""


def read_acl_imdb(path: str | os.PathLike[str]) -> Reviews:
    """Read the labelled reviews of a folder ``aclImdb``, of one that holds it, or of ``aclImdb.tar.gz``.

    Returns:
        Reviews with labels 0 and 1, in each part the negative ones first, then by the number in their name.

    Raises:
        FileError: naming the file and what was expected: something is missing, empty, no UTF-8, in the folder
            of the other label, or has no place in such an archive.
    """
    root = Path(path)
    texts: dict[tuple[str, str], dict[int, str]] = {folder: {} for folder in FOLDERS}
    for owner, part, label, name, content in _in_folder(root) if root.is_dir() else _in_archive(root):
        number, text = _review(owner, label, name, content)
        if texts[part, label].setdefault(number, text) is not text:
            raise FileError(f"{owner}: expected one review {number}, found two.")
    for folder, reviews in texts.items():
        if not reviews:
            raise FileError(f"{root}: expected reviews in {'/'.join(folder)}/, found none.")
    columns = []
    for part in ("train", "test"):
        reviews = [texts[part, label] for label in RATINGS]
        columns.append([rows[number] for rows in reviews for number in sorted(rows)])
        columns.append(np.repeat(np.arange(2, dtype=np.int32), [len(rows) for rows in reviews]))
    return Reviews(*columns)


def _review(owner: str, label: str, name: str, content: bytes) -> tuple[int, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise FileError(f"{owner}: expected a name such as 123_9.txt, number and rating.")
    number, rating = map(int, match.groups())
    if rating not in RATINGS[label]:
        span = RATINGS[label]
        raise FileError(
            f"{owner}: expected a rating from {span[0]} to {span[-1]} in {label}/, found {rating}."
        )
    text = decode(content, owner)
    if not text.strip():
        raise FileError(f"{owner}: line 1: expected a review, found nothing.")
    return number, text


def _in_folder(root: Path) -> Iterator[Entry]:
    if not (root / "train").is_dir() and (root / "aclImdb").is_dir():
        root = root / "aclImdb"
    for part, label in FOLDERS:
        folder = root / part / label
        if not folder.is_dir():
            raise FileError(f"{root}: expected the folders train and test with neg and pos in each.")
        try:
            for name in sorted(os.listdir(folder)):
                # The system's own files, such as .DS_Store.
                if not name.startswith("."):
                    with (folder / name).open("rb") as file:
                        content = file.read(MAX_REVIEW_BYTES + 1)
                    _check_size(str(folder / name), len(content))
                    yield str(folder / name), part, label, name, content
        except OSError as error:
            raise FileError(f"{error.filename or folder}: cannot be read: {error.strerror}.") from error


def _in_archive(path: Path) -> Iterator[Entry]:
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            tape = _Tape(unpacked, str(path))
            with tarfile.TarFile(fileobj=tape, mode="r") as archive:  # pyright: ignore[reportArgumentType]
                count = 0
                while member := archive.next():
                    count += 1
                    # A TarFile keeps all members it has met.
                    archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
                    if count > MAX_MEMBERS:
                        raise FileError(f"{path}: expected at most {MAX_MEMBERS} members, found more.")
                    # A name may hold bytes that no terminal prints.
                    name = member.name[:200].encode(errors="backslashreplace").decode()
                    yield from _of_member(f"{path}: {name}", member, tape)
                tape.check_end()
    except FileError:
        raise
    except _DAMAGED as error:
        raise FileError(
            f"{path}: expected a .tar.gz archive, found a damaged or foreign file: {error}."
        ) from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _of_member(owner: str, member: tarfile.TarInfo, tape: _Tape) -> Iterator[Entry]:
    parts = member.name.removeprefix("./").split("/")
    if ".." in parts or "" in parts[:-1] or "\\" in member.name:
        raise FileError(f"{owner}: expected a place inside the archive's folder.")
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        raise FileError(f"{owner}: expected a plain file, found a link, a device or a file with holes.")
    *above, part, label, name = ["", "", *parts][-max(3, len(parts)) :]
    if (part, label) in FOLDERS and len(above) <= 1 and not name.startswith("."):
        _check_size(owner, member.size)
        tape.seek(member.offset_data)
        yield owner, part, label, name, tape.read(member.size)


def _check_size(owner: str, size: int) -> None:
    if size > MAX_REVIEW_BYTES:
        raise FileError(f"{owner}: expected a review of at most {MAX_REVIEW_BYTES} bytes, found more.")


class _Tape:
    """The unpacked bytes for `tarfile`, which believes every size it reads: forward only, and in bounds."""

    def __init__(self, file: gzip.GzipFile, owner: str) -> None:
        self._file, self._owner = file, owner
        self._last = b""

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> None:
        if not self.tell() <= position <= MAX_ARCHIVE_BYTES:
            raise FileError(
                f"{self._owner}: expected members in a row, of {MAX_ARCHIVE_BYTES} bytes together at most."
            )
        self._file.seek(position)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise FileError(f"{self._owner}: expected headers and reviews, found one of {size} bytes.")
        self._last = self._file.read(size)
        return self._last

    def check_end(self) -> None:
        """Refuse an archive that only seems to end: `tarfile` takes a damaged header for the end.

        Reading all that is left checks gzip's sum, too.
        """
        while not any(self._last):
            if self.tell() > MAX_ARCHIVE_BYTES or not self.read(2**16):
                return
        raise FileError(f"{self._owner}: expected the end of the archive, found a damaged member.")
