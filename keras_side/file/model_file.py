"""A Keras model file as plain data: ``zipfile``, ``json`` and `Hdf5`, nothing executed.

What a file is, its first bytes say: an archive (``.keras`` of Keras 3 and 2.12 on) or HDF5 (``.h5``, and
``.keras`` of Keras 2 before 2.12). A file may come from anywhere, so nothing it says is believed before it is
checked: sizes are bounded by the bytes that are really there, links and external storage are refused, and no
class is looked up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, InputError, shown
from biport.file_kind import foreign
from keras_side.file.archive import KERAS_MODEL, read_members
from keras_side.file.archive_weights import FileVariables, FileVariables2
from keras_side.file.hdf5_reader import SIGNATURE, Group, Hdf5
from keras_side.file.layer_order import in_keras_order
from keras_side.file.listed_weights import ListedVariables, listed_variables
from keras_side.legacy.model import modernised, named
from keras_side.records import MAX_PARTS
from keras_side.release import UNKNOWN, Release

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_JSON_BYTES = 8 * 2**20
MAX_METADATA_BYTES = 2**20
MAX_CONTAINERS = 20 * MAX_PARTS
"""Mappings and lists of a configuration: a layer of Keras 3 has some fifteen."""
MAX_DIGITS = 20
"""Of a whole number: what has more fits nowhere."""


class Format(StrEnum):
    """How a file is laid out."""

    ARCHIVE = "Keras archive (zip)"
    HDF5 = "HDF5, configuration and weights"
    WEIGHTS_BY_NAME = "HDF5, weights alone, a group a layer"
    WEIGHTS_AS_IN_ARCHIVE = "HDF5, weights alone, as in a Keras archive"


@dataclass
class ModelFile:
    """An open model file; use it in a ``with`` block.

    Args:
        path: the file; it is only read.
        given: for a file of weights alone, the configuration as ``model.to_json()`` gives it: the path of
            a JSON file, or what it holds.

    Raises:
        FileError: missing, a folder, truncated, foreign or hostile; the message says which.
        InputError: a configuration is given and not needed, or needed and not given.
    """

    path: Path
    given: str | os.PathLike[str] | Mapping[str, Any] | None = None
    format: Format = field(init=False)
    origin: Release = field(init=False)
    raw: Mapping[str, Any] = field(init=False)
    """The configuration in the words of its Keras, its layers in the order that Keras lists them in."""
    config: Mapping[str, Any] = field(init=False)
    """The configuration in the words of Keras 3."""
    variables: FileVariables | ListedVariables = field(init=False)

    @property
    def owner(self) -> str:
        """How errors call the file."""
        return self.path.name

    def __enter__(self) -> ModelFile:
        try:
            start = _first_bytes(self.path)
            if start.startswith(b"PK"):
                self._open_archive()
            elif start == SIGNATURE:
                self._open_hdf5()
            else:
                raise foreign(self.path, KERAS_MODEL)
        except PermissionError as error:
            raise FileError(f"{self.path}: cannot be read ({error.strerror})") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._hdf5.close()

    def _open_archive(self) -> None:
        if self.given is not None:
            raise InputError(f"{self.path}: has its own configuration; none can be given beside it")
        limits = {CONFIG: MAX_JSON_BYTES, METADATA: MAX_METADATA_BYTES, WEIGHTS: None}
        members = read_members(self.path, limits)
        texts = {name: data for name, data in members.items() if isinstance(data, bytes)}
        raw = _json(texts[CONFIG], f"{self.path}: {CONFIG}")
        metadata = _json(texts[METADATA], f"{self.path}: {METADATA}")
        version = metadata.get("keras_version", UNKNOWN)
        if not isinstance(version, str):
            raise FileError(f"{self.path}: {METADATA}: keras_version should be text, found {shown(version)}")
        self.format, self.origin = Format.ARCHIVE, Release(version)
        self.raw = in_keras_order(raw, self.origin, self.owner)
        self.config = (
            self.raw if self.origin.generation == 3 else modernised(self.raw, self.origin, self.owner)
        )
        self._hdf5 = Hdf5(members[WEIGHTS], f"{self.path}: {WEIGHTS}")
        self.variables = self._archived(self._hdf5.root)

    def _archived(self, group: Group) -> FileVariables:
        kind = FileVariables if self.origin.generation == 3 else FileVariables2
        archive = self.path if self.format is Format.ARCHIVE else None
        return kind(self._hdf5, group, self.owner, archive)

    def _open_hdf5(self) -> None:
        self._hdf5 = Hdf5(self.path, str(self.path))
        try:
            self._read_hdf5()
        except BaseException:
            self._hdf5.close()
            raise

    def _read_hdf5(self) -> None:
        root = self._hdf5.root
        text = self._hdf5.text(root, "model_config")
        group = self._hdf5.group(root, "model_weights") if text is not None else root
        if group is None:
            raise FileError(f"{self.path}: has a model's configuration, but no weights beside it")
        by_name = "layer_names" in group.attrs or "layer_names0" in group.attrs
        if text is None and not by_name and {"layers", "vars", *FileVariables2.containers}.isdisjoint(group):
            inside = ", ".join(sorted(name[:60] for name in group)[:5]) or "nothing"
            raise FileError(f"{self.path}: is HDF5, but holds no Keras model: there is {inside}")
        if (text is None) != (self.given is not None):
            what = "weights alone" if text is None else "its own configuration"
            advice = "give its model.to_json() as " if text is None else "give no "
            raise InputError(f"{self.path}: holds {what}; {advice}", Argument("config"))
        raw = _given(self.given) if text is None else _json(text, f"{self.path}: model_config")
        self.origin = self._written_by(root, group, by_name, raw)
        self.raw = in_keras_order(named(raw), self.origin, self.owner)
        if text is not None:
            self.format = Format.HDF5
        else:
            self.format = Format.WEIGHTS_BY_NAME if by_name else Format.WEIGHTS_AS_IN_ARCHIVE
        self.config = self._modern()
        if by_name:
            self.variables = listed_variables(self._hdf5, group, self.raw, self.origin)
        else:
            self.variables = self._archived(group)

    def _written_by(self, root: Group, group: Group, by_name: bool, raw: Mapping[str, Any]) -> Release:
        """The Keras that wrote the file, or else the configuration."""
        texts = [
            self._hdf5.text(where, key) for key in ("keras_version", "backend") for where in (root, group)
        ]
        version, backend = texts[0] or texts[1], texts[2] or texts[3]
        if version is None and self.given is not None:
            stated = raw.get("keras_version")
            version = stated if isinstance(stated, str) else ("1" if by_name else "3")
        return Release(version or "1", backend)

    def _modern(self) -> Mapping[str, Any]:
        if self.origin.generation == 3 and self.format is Format.WEIGHTS_AS_IN_ARCHIVE:
            return self.raw
        return modernised(self.raw, self.origin, self.owner)


def needs_config(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds weights alone, so that a configuration has to be given beside it.

    Raises:
        FileError: it is no model file.
    """
    if _first_bytes(Path(path)) != SIGNATURE:
        return False
    hdf5 = Hdf5(Path(path), str(path))
    try:
        return hdf5.text(hdf5.root, "model_config") is None
    finally:
        hdf5.close()


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise foreign(path, KERAS_MODEL)
    with path.open("rb") as file:
        return file.read(len(SIGNATURE))


def _given(given: str | os.PathLike[str] | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The configuration given beside a file of weights."""
    if isinstance(given, Mapping):
        try:
            return _json(json.dumps(given), "the configuration given")
        except (TypeError, ValueError, RecursionError) as error:
            raise FileError(f"the configuration given is not what JSON can hold ({error})") from error
    path = Path(given or "")
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise FileError(f"{path}: is larger than {MAX_JSON_BYTES >> 20} MB; no model's configuration is")
    return _json(path.read_bytes(), str(path))


def _json(text: str | bytes, owner: str) -> Mapping[str, Any]:
    if len(text) > MAX_JSON_BYTES:
        raise FileError(f"{owner}: is larger than {MAX_JSON_BYTES >> 20} MB; no model's configuration is")
    marks: tuple[Any, Any] = ("{", "[") if isinstance(text, str) else (b"{", b"[")
    if sum(map(text.count, marks)) > MAX_CONTAINERS:
        raise FileError(
            f"{owner}: more than {MAX_CONTAINERS} mappings and lists; no model's configuration has"
        )
    try:
        data = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{owner} is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise FileError(f"{owner} should hold a mapping, found {type(data).__name__}")
    return data


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)
