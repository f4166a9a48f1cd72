"""Where results go, and how: never over something that is there unasked, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biport.errors import InputError

DRAFT = ".tmp"


def check_folder(target: Path) -> None:
    """Refuse a target whose folder is missing.

    Raises:
        InputError: it is.
    """
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist")


def check_target(target: Path, overwrite: bool, replaces: str = "it") -> None:
    """Refuse a target whose folder is missing, or that is there already and not to be replaced.

    Args:
        target: the file or folder to be written.
        overwrite: whether something that is there is replaced.
        replaces: what ``--force`` replaces, for the message.

    Raises:
        InputError: it cannot be written.
    """
    check_folder(target)
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; use --force (overwrite=True) to replace {replaces}")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A path to write to, called as ``target`` is; the file appears there whole or not at all.

    What else is written beside it, such as weights that lie outside, is moved along, before it.

    Args:
        target: the file to be made or replaced; its folder is there.

    Raises:
        OSError: it cannot be written; nothing is left behind, and what was there is as it was.

    Example:
        >>> with atomic_file(Path("/tmp/numbers.txt")) as draft:
        ...     _ = draft.write_text("1 2 3")
        >>> Path("/tmp/numbers.txt").read_text()
        '1 2 3'
    """
    with _draft_folder(target) as folder:
        draft = folder / target.name
        yield draft
        _grant(folder)
        for file in sorted(folder.iterdir(), key=lambda file: file == draft):
            os.replace(file, target.parent / file.name)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which then takes the place of ``target``: whole or not at all.

    Args:
        target: the folder to be made or replaced; its own folder is there.

    Raises:
        OSError: it cannot be written; nothing is left behind, and what was there is as it was.

    Example:
        >>> with atomic_folder(Path("/tmp/numbers")) as draft:
        ...     _ = (draft / "one.txt").write_text("1")
        >>> [path.name for path in Path("/tmp/numbers").iterdir()]
        ['one.txt']
    """
    with _draft_folder(target) as folder:
        draft, old = folder / "new", folder / "old"
        draft.mkdir()
        yield draft
        _grant(draft)
        if target.exists():
            target.rename(old)
        try:
            draft.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def is_draft(name: str, target: str) -> bool:
    """Whether a process that was killed while it wrote ``target`` may have left a folder called ``name``."""
    return name.startswith(f".{target}.") and name.endswith(DRAFT)


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """A folder beside ``target``, on the same file system, for the time it takes."""
    folder = target.absolute().with_name(f".{target.name}.{uuid.uuid4().hex}{DRAFT}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _grant(folder: Path) -> None:
    """Give every file in ``folder`` the permissions that the umask says.

    Libraries write through temporary files of their own, which keep out everyone but their owner.
    """
    probe = folder / f".{uuid.uuid4().hex}"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
