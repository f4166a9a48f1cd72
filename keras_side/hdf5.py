"""HDF5 from anywhere: only what is stored right there is read, and no more of it than there is.

Links to elsewhere, external and virtual storage are refused, and so is one array under two names; what is
declared is bounded by the bytes that are really stored.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from biport.errors import FileError, UnsupportedError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_EXPANSION = 100
"""How many times larger than its stored bytes a compressed part may be; Keras does not compress at all."""
SMALL = 2**16
"""Below this many bytes no expansion is worth refusing."""
DAMAGED = (OSError, RuntimeError, LookupError, ValueError, OverflowError, TypeError, MemoryError)
"""What h5py ends in over bytes that are not what they should be."""


def most_bytes(stored: int) -> int:
    """How many bytes a file of ``stored`` bytes may unfold to altogether."""
    return 4 * stored + 2**28


def object_address(dataset: h5py.Dataset) -> int:
    """Where in the file a data set is, whatever names it has."""
    return h5py.h5o.get_info(dataset.id).addr  # pyright: ignore[reportAttributeAccessIssue]


class Hdf5:
    """An open HDF5 file; close it after use.

    Args:
        source: a path, or the bytes of the file.
        owner: how errors call it.

    Raises:
        FileError: it is no whole HDF5 file.
    """

    def __init__(self, source: Path | bytes, owner: str) -> None:
        self.owner = owner
        try:
            self.root = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
        except DAMAGED as error:
            raise FileError(f"{owner}: is truncated or damaged ({error})") from error
        self._left = most_bytes(len(source) if isinstance(source, bytes) else source.stat().st_size)
        self._read: dict[int, str] = {}

    def close(self) -> None:
        """Close the file."""
        self.root.close()

    def member(self, group: object, path: str) -> object:
        """What a group holds under ``path``, or ``None``; only what is stored right there counts.

        Raises:
            FileError: it is a link to somewhere else.
        """
        found = group
        for name in path.split("/"):
            if not isinstance(found, h5py.Group):
                return None
            link = found.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise FileError(
                    f"{self.owner}: {name!r} is a link to somewhere else; such files are not read"
                )
            found = found[name]
        return found

    def group(self, group: object, path: str) -> h5py.Group | None:
        """The group a group holds under ``path``, or ``None``."""
        found = self.member(group, path)
        return found if isinstance(found, h5py.Group) else None

    def array(self, dataset: object, owner: str) -> np.ndarray:
        """The numbers of a data set.

        Raises:
            FileError: it is none, is stored elsewhere, declares more than is stored, or was read under
                another name before.
            UnsupportedError: they are not float32 or float64.
        """
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            raise FileError(f"{owner}: expected an array")
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8):
            raise UnsupportedError(owner, "dtype", str(dataset.dtype), ("float32", "float64"))
        if dataset.external or dataset.is_virtual:
            raise FileError(f"{owner}: its numbers are in another file; such files are not read")
        stored = dataset.id.get_storage_size()
        if dataset.nbytes > max(SMALL if stored else 0, stored * MAX_EXPANSION):
            raise FileError(f"{owner}: declares {dataset.nbytes} bytes but {stored} are stored")
        name = str(dataset.name)
        if self._read.setdefault(object_address(dataset), name) != name:
            raise FileError(f"{owner}: is stored once and used under two names")
        self._left -= dataset.nbytes
        if self._left < 0:
            raise FileError(f"{owner}: the file unfolds to many times its size")
        # Of no axes, h5py gives a number.
        return np.asarray(dataset[()]).astype(dataset.dtype.newbyteorder("="), copy=False)

    def count(self, group: h5py.Group | None) -> int:
        """How many numbers are stored below a group."""
        found: list[int] = []

        def visit(_: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
                found.append(item.size or 0)

        if group is not None:
            group.visititems(visit)
        return sum(found)

    def left_over(self, group: h5py.Group | None, below: Sequence[str]) -> list[str]:
        """The arrays of numbers in the groups called ``below`` that nobody has read."""
        found: list[str] = []

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and str(item.name) not in read:
                found.append(name)

        read = set(self._read.values())
        for name in below:
            inside = self.group(group, name)
            if inside is not None:
                inside.visititems(visit)
        return found

    def text(self, group: h5py.Group, name: str) -> str | None:
        """A string attribute, which old h5py wrote as bytes; ``None`` where there is none."""
        found = self._attribute(group, name)
        if found is None:
            return None
        if isinstance(found, np.ndarray) and found.size == 1:
            found = found.reshape(-1)[0]
        return self._string(found, name)

    def texts(self, group: h5py.Group, name: str) -> list[str] | None:
        """A list of strings; Keras splits a long one over ``name0``, ``name1``, ...

        Source:
            keras/src/legacy/saving/legacy_h5_format.py, ``save_attributes_to_hdf5_group``.
        """
        names = [name] if name in group.attrs else list(self._pieces(group, name))
        pieces = [self._attribute(group, piece) for piece in names]
        if not pieces:
            return None
        return [self._string(item, name) for piece in pieces for item in np.atleast_1d(np.asarray(piece))]

    def _pieces(self, group: h5py.Group, name: str) -> Iterator[str]:
        number = 0
        while f"{name}{number}" in group.attrs:
            yield f"{name}{number}"
            number += 1

    def _attribute(self, group: h5py.Group, name: str) -> object:
        if name not in group.attrs:
            return None
        attribute = group.attrs.get_id(name)
        # Looked at before it is read: reading makes room for as much as is declared.
        declared = int(np.prod(attribute.shape or (), dtype=object)) * attribute.dtype.itemsize
        if attribute.shape is not None and 0 in attribute.shape:
            return []
        if declared > attribute.get_storage_size() or declared > self._left:
            raise FileError(f"{self.owner}: attribute {name!r} declares more than is stored")
        found = group.attrs[name]
        return None if isinstance(found, h5py.Empty) else found

    def _string(self, item: object, name: str) -> str:
        if isinstance(item, bytes):
            try:
                return item.decode()
            except UnicodeDecodeError as error:
                raise FileError(f"{self.owner}: attribute {name!r} is not text") from error
        if not isinstance(item, str):
            raise FileError(f"{self.owner}: attribute {name!r} should be text, found {type(item).__name__}")
        return item
