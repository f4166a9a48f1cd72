"""A small JSON file, read whole or refused, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from biport.errors import FileError
from biport.file_kind import FileKind, file_kind, foreign
from biport.files import atomic_file


def read_json(path: str | os.PathLike[str]) -> Any:
    """What the file holds.

    Raises:
        FileError: naming the file: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        if Path(path).is_dir():
            raise foreign(path, "JSON") from error
        raise FileError(f"{os.fspath(path)}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        if file_kind(path) not in (FileKind.JSON, FileKind.TEXT, FileKind.EMPTY, FileKind.UNKNOWN):
            raise foreign(path, "JSON") from error
        raise FileError(f"{os.fspath(path)}: not JSON: {error}.") from error


def parse_json(text: str | bytes, owner: str) -> Any:
    """What ``text`` says; ``owner`` is where it is from, for messages.

    Raises:
        FileError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{owner}: not JSON: {error}.") from error


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content``, over what is there: all of it or, on an error, nothing.

    Raises:
        FileError: when the folder cannot be written to.
    """
    with atomic_file(Path(path)) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
