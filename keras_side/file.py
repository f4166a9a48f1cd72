"""A ``.keras`` file as plain data: ``zipfile``, ``json`` and ``h5py``, nothing executed.

A file may come from anywhere, so nothing it says is believed before it is checked: sizes are bounded by
the bytes that are really there, links and external storage are refused, and no class is looked up.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biport.errors import FileError, UnsupportedError, WeightError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_JSON_BYTES = 64 * 2**20
MAX_EXPANSION = 100
"""How many times larger than its stored bytes a compressed part may be; Keras does not compress at all."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""What `zipfile` and the decompressors end in when the bytes are not what they should be."""
SMALL = 2**16
"""Below this many bytes no expansion is worth refusing."""


@dataclass(frozen=True)
class FileVariables:
    """A group of a weights file.

    Args:
        group: the open HDF5 group, or ``None`` where the file has none.
        owner: how errors call it.
    """

    group: h5py.Group | None
    owner: str

    def take(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays stored as ``vars/0``, ``vars/1``, ...; see `records.Variables.take`."""
        stored = _member(self.group, "vars", self.owner)
        keys = list(stored) if isinstance(stored, h5py.Group) else []
        wanted = [str(index) for index in range(len(names))]
        if sorted(keys) != sorted(wanted):
            raise WeightError(
                f"{self.owner}: expected the {len(names)} weights {list(names)}, found {len(keys)}"
            )
        return {
            name: _array(_member(stored, key, self.owner), f"{self.owner}: {name}")
            for name, key in zip(names, wanted, strict=True)
        }

    def child(self, attribute: str) -> FileVariables:
        """The group of the layer held under ``attribute``."""
        return FileVariables(_group(self.group, attribute, self.owner), f"{self.owner}: {attribute}")

    def item(self, container: str, index: int, key: str) -> FileVariables:
        """The group of one layer of a list, ``<container>/<key>``."""
        layers = _group(self.group, container, self.owner)
        return FileVariables(_group(layers, key, self.owner), f"{self.owner}: {key}")


def _member(group: object, name: str, owner: str) -> object:
    """One member of a group, or ``None``; only what is stored right there counts."""
    if not isinstance(group, h5py.Group):
        return None
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise FileError(f"{owner}: {name!r} is a link to somewhere else; such files are not read")
    return group[name]


def _group(group: object, name: str, owner: str) -> h5py.Group | None:
    found = _member(group, name, owner)
    return found if isinstance(found, h5py.Group) else None


def _array(dataset: object, owner: str) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset):
        raise FileError(f"{owner}: expected an array")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8):
        raise UnsupportedError(owner, "dtype", str(dataset.dtype), ("float32", "float64"))
    if dataset.external or dataset.is_virtual:
        raise FileError(f"{owner}: its numbers are in another file; such files are not read")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(SMALL if stored else 0, stored * MAX_EXPANSION):
        raise FileError(f"{owner}: declares {dataset.nbytes} bytes but {stored} are stored")
    return dataset[()]


class ModelFile:
    """An open ``.keras`` file; use it in a ``with`` block.

    Args:
        path: the file; it is only read.

    Raises:
        FileError: missing, a folder, truncated, foreign or hostile; the message says which.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.owner = self.path.name

    def __enter__(self) -> ModelFile:
        try:
            _refuse_other_files(self.path)
            with zipfile.ZipFile(self.path) as archive:
                self.config = _json(archive, CONFIG, self.path)
                self.keras_version = str(_json(archive, METADATA, self.path).get("keras_version", "unknown"))
                weights = _read(archive, WEIGHTS, self.path, limit=None)
        except PermissionError as error:
            raise FileError(f"{self.path}: cannot be read ({error.strerror})") from error
        except FileError:
            raise
        except DAMAGED as error:
            raise FileError(
                f"{self.path}: truncated or damaged, not a whole .keras archive ({error})"
            ) from error
        try:
            self._weights = h5py.File(io.BytesIO(weights), "r")
        except (OSError, RuntimeError, LookupError, ValueError, OverflowError) as error:
            raise FileError(f"{self.path}: {WEIGHTS} is truncated or damaged ({error})") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._weights.close()

    @property
    def variables(self) -> FileVariables:
        """All the weights."""
        return FileVariables(self._weights, self.owner)


def _refuse_other_files(path: Path) -> None:
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if path.is_dir():
        raise FileError(f"{path}: is a folder; biport reads .keras files")
    if not path.is_file():
        raise FileError(f"{path}: is not a file")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        raise FileError(
            f"{path}: is an HDF5 file (the legacy .h5 format), not a .keras archive; load it in Keras 3 and "
            "save it again with model.save('model.keras')"
        )
    if not start.startswith(b"PK"):
        what = "is empty" if not start else f"starts with {start!r}"
        raise FileError(f"{path}: {what}; a .keras file is a zip archive")


def _read(archive: zipfile.ZipFile, name: str, path: Path, limit: int | None) -> bytes:
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        inside = ", ".join(sorted(info.filename for info in archive.infolist())[:5])
        what = "twice" if found else f"not among {inside}"
        raise FileError(
            f"{path}: not a Keras 3 .keras file: {name} is there {what}".replace("there not", "not")
        )
    (info,) = found
    bound = max(SMALL, min(info.compress_size, path.stat().st_size) * MAX_EXPANSION)
    if info.file_size > bound or (limit is not None and info.file_size > limit):
        raise FileError(f"{path}: {name} declares {info.file_size} bytes, {info.compress_size} are stored")
    return archive.read(info)


def _json(archive: zipfile.ZipFile, name: str, path: Path) -> Mapping[str, Any]:
    text = _read(archive, name, path, MAX_JSON_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: {name} is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise FileError(f"{path}: {name} should hold a mapping, found {type(data).__name__}")
    return data
