"""The members of an archive of torch, which stores them as they are."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biport.errors import FileError
from biport.file_kind import BoundedFile

MAX_JSON = 64 * 2**20
"""Bytes of a description in JSON."""


class Archive:
    """A zip archive in one folder, whose members are no longer than the file, and not compressed.

    Args:
        path: the file.

    Raises:
        FileError: it is damaged, or says that it holds more than it does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(BoundedFile(path))
            try:
                self._zip = opened.enter_context(zipfile.ZipFile(file))
            except (ValueError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
                raise FileError(f"{path}: a zip archive that is truncated or damaged") from error
            file.unbounded()
            self._root, self.sizes = self._members()
            self._opened = opened.pop_all()

    def _members(self) -> tuple[str, Mapping[str, int]]:
        """The folder of all members, and the bytes of each."""
        infos = self._zip.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
            raise FileError(f"{self.path}: has compressed members, which torch does not write")
        if sum(info.file_size for info in infos) > self.path.stat().st_size:
            raise FileError(f"{self.path}: declares members longer than the file")
        roots = {info.filename.partition("/")[0] for info in infos}
        if len(roots) != 1:
            raise FileError(f"{self.path}: has no one folder, as torch 2.8 and later write it: save it again")
        sizes = {info.filename.partition("/")[2]: info.file_size for info in infos}
        if len(sizes) != len(infos):
            raise FileError(f"{self.path}: has two members of one name")
        return roots.pop(), sizes

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            FileError: there is none, or it is damaged.
        """
        if name not in self.sizes:
            raise FileError(f"{self.path}: has no {name}")
        try:
            return self._zip.read(f"{self._root}/{name}")
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise FileError(f"{self.path}: {name} is damaged") from error

    def json(self, name: str) -> Any:
        """A member that is JSON.

        Raises:
            FileError: it is none.
        """
        if self.sizes.get(name, 0) > MAX_JSON:
            raise FileError(f"{self.path}: {name} is longer than {MAX_JSON} bytes")
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise FileError(f"{self.path}: {name} is no JSON") from error
