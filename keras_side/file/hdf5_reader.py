"""HDF5 from anywhere: only what is stored right there is read, and no more of it than there is.

Links to elsewhere, external and virtual storage are refused, and so is one array under two names; what is
declared is bounded by the bytes that are really stored.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from biport.errors import FileError, UnsupportedError
from keras_side.file.archive import Stored
from keras_side.file.hdf5_format import SIGNATURE, STORED_FLOATS, Dataset, Group, Hdf5Object, Link, Parser

__all__ = ["SIGNATURE", "Dataset", "Group", "Hdf5"]

MAX_DEPTH = 200
"""Groups inside groups: a layer of a model 32 models deep is 100 deep."""


class Hdf5:
    """An open HDF5 file; close it after use.

    Args:
        source: a path, the bytes of the file, or where it is stored in another one.
        owner: how errors call it.

    Raises:
        FileError: it is no whole HDF5 file, here and in every method.
    """

    def __init__(self, source: Path | bytes | Stored, owner: str) -> None:
        self.owner = owner
        self._file = io.BytesIO(source) if isinstance(source, bytes) else _opened(source)
        try:
            size = self._file.seek(0, io.SEEK_END)
            whole = Stored(source, 0, size) if isinstance(source, Path) else source
            self._parser = Parser(self._file, size, owner, None if isinstance(whole, bytes) else whole)
            self.root = self._parser.root()
        except BaseException:
            self._file.close()
            raise
        self._left = size
        self._read: dict[int, str] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def member(self, group: object, path: str) -> Hdf5Object | None:
        """What a group has under ``path``, or ``None``; only what is stored right there counts.

        Raises:
            FileError: it is a link to somewhere else.
        """
        names = path.split("/")
        if len(names) > MAX_DEPTH:
            raise FileError(f"{self.owner}: a path of {len(names)} groups")
        item: Hdf5Object | None = group if isinstance(group, Hdf5Object) else None
        for name in names:
            member = item.get(name) if isinstance(item, Group) else None
            if isinstance(member, Link):
                raise FileError(
                    f"{self.owner}: {name!r} is a link to somewhere else; such files are not read"
                )
            item = member
        return item

    def group(self, group: object, path: str) -> Group | None:
        """The group that a group has under ``path``, or ``None``."""
        member = self.member(group, path)
        return member if isinstance(member, Group) else None

    def array(self, dataset: object, owner: str) -> np.ndarray:
        """The numbers of a data set.

        Raises:
            FileError: it is none, is stored elsewhere, declares more than is stored, or was read under
                another name before.
            UnsupportedError: they are not of `STORED_FLOATS`.
        """
        if not isinstance(dataset, Dataset) or dataset.shape is None:
            raise FileError(f"{owner}: expected an array")
        if dataset.datatype.name not in STORED_FLOATS:
            raise UnsupportedError(owner, "dtype", dataset.datatype.name, STORED_FLOATS)
        if dataset.is_elsewhere:
            raise FileError(f"{owner}: its numbers are in another file; such files are not read")
        declared = dataset.size * dataset.datatype.size
        if not dataset.is_in_one_piece and declared <= self._parser.size:
            raise self._parser.foreign(f"an array in chunks ({owner})")
        if declared > dataset.stored:
            raise FileError(f"{owner}: declares {declared} bytes but {dataset.stored} are stored")
        if dataset.address not in self._read:
            self._left -= declared
            self._read[dataset.address] = owner
        if self._read[dataset.address] != owner:
            raise FileError(f"{owner}: is stored once and used under two names")
        if self._left < 0:
            raise FileError(
                f"{owner}: the arrays declare more than the {self._parser.size} bytes of the file"
            )
        return dataset.read()

    def count(self, group: Group | None) -> int:
        """How many numbers are stored below a group."""
        return sum(array.size for _, _, array in self._arrays(group))

    def left_over(self, group: Group | None, below: Sequence[str]) -> list[str]:
        """Arrays of numbers in the groups called ``below`` that nobody has read; ten at most."""
        left = (
            path + name
            for container in below
            for path, name, array in self._arrays(self.group(group, container))
            if array.address not in self._read
        )
        return list(islice(left, 10))

    def _arrays(self, group: Group | None) -> Iterator[tuple[str, str, Dataset]]:
        """The arrays of floats below a group, each once, and where they are."""
        waiting = [("", "", group)] if group is not None else []
        seen: set[int] = set()
        while waiting:
            above, own, inside = waiting.pop()
            path = f"{above}{own}/" if own else ""
            if path.count("/") > MAX_DEPTH:
                raise FileError(f"{self.owner}: groups nested more than {MAX_DEPTH} deep")
            for name in inside:
                item = inside.get(name)
                if not isinstance(item, Hdf5Object) or item.address in seen:
                    continue
                seen.add(item.address)
                if isinstance(item, Group):
                    waiting.append((path, name, item))
                elif isinstance(item, Dataset) and "float" in item.datatype.name:
                    yield path, name, item

    def text(self, group: Group, name: str) -> str | None:
        """A string attribute, which old h5py wrote as bytes; ``None`` where there is none."""
        texts = self._texts(group, name)
        if texts is not None and len(texts) != 1:
            raise FileError(f"{self.owner}: attribute {name!r} should be one text, found {len(texts)}")
        return None if texts is None else texts[0]

    def texts(self, group: Group, name: str) -> list[str] | None:
        """A list of strings; Keras splits a long one over ``name0``, ``name1``, ...

        Raises:
            FileError: it is none, or names one thing twice.

        Source:
            keras/src/legacy/saving/legacy_h5_format.py, ``save_attributes_to_hdf5_group``.
        """
        names = [name] if name in group.attrs else list(self._pieces(group, name))
        pieces = [self._texts(group, piece) for piece in names]
        joined = [item for piece in pieces for item in piece or ()]
        if len(set(joined)) < len(joined):
            raise FileError(f"{self.owner}: attribute {name!r} has one name twice")
        return joined if any(piece is not None for piece in pieces) else None

    def _pieces(self, group: Group, name: str) -> Iterator[str]:
        number = 0
        while f"{name}{number}" in group.attrs:
            yield f"{name}{number}"
            number += 1

    def _texts(self, group: Group, name: str) -> list[str] | None:
        attribute = group.attrs.get(name)
        if attribute is None or attribute.shape is None:
            return None
        if 0 in attribute.shape:
            # numpy knows no text that is not there: an empty list is one of floats.
            return []
        if not attribute.datatype.is_text:
            kind = attribute.datatype.name
            raise FileError(f"{self.owner}: attribute {name!r} should be text, found {kind}")
        try:
            return [item.decode() for item in attribute.texts()]
        except UnicodeDecodeError as error:
            raise FileError(f"{self.owner}: attribute {name!r} is not text") from error


def _opened(source: Path | Stored) -> io.BufferedReader:
    return source.open("rb") if isinstance(source, Path) else source.open()
