"""Where results go: never over something that is there, never into a folder that is not."""

from __future__ import annotations

from pathlib import Path

from biport.errors import InputError


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
