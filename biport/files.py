"""Where results go, and how: never over something that is there unasked, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from biport.errors import Argument, FileError, InputError
from biport.log import log

DRAFT = ".tmp"
FILE_SUFFIXES = frozenset(
    f".{name}"
    for names in (
        "keras h5 hdf5 onnx pt pth pt2 ckpt bin pb tflite safetensors pickle pkl",
        "npy npz csv tsv json jsonl xml txt md html",
        "png jpg svg pdf zip tar gz",
    )
    for name in names.split()
)
"""What the name of a file ends in; a folder of such a name would be taken for one."""


def reason(error: OSError) -> str:
    """Why the system refused, in its own words, and of which file where it says so."""
    why = error.strerror or str(error)
    return why if error.filename is None else f"{why} ({os.fsdecode(error.filename)})"


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
        replaces: what ``overwrite`` replaces, for the message.

    Raises:
        InputError: it cannot be written.
    """
    check_folder(target)
    if target.exists() and not overwrite:
        argument = Argument("overwrite", True)
        raise InputError(f"{target}: exists already; use ", argument, f" to replace {replaces}")


def check_folder_name(target: Path) -> None:
    """Refuse a folder whose folder is missing, whose name promises a file, or in whose place a file is.

    Raises:
        InputError: it is such a name.
    """
    check_folder(target)
    check_no_file(target)


def check_no_file(target: Path) -> None:
    """Refuse a folder whose name promises a file, or in whose place a file is; what it is in may be missing.

    Raises:
        InputError: it is such a name.
    """
    if target.suffix.lower() in FILE_SUFFIXES and not target.is_dir():
        raise InputError(f"{target}: what is written is a folder, not a {target.suffix} file")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is not a folder")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A path to write to, called as ``target`` is; the file appears there whole or not at all.

    What else is written beside it, such as weights that lie outside, is moved along, before it.

    Args:
        target: the file to be made or replaced; its folder is there.

    Raises:
        FileError: it cannot be written; nothing is left behind, and what was there is as it was.

    Example:
        >>> with atomic_file(Path("/tmp/numbers.txt")) as draft:
        ...     _ = draft.write_text("1 2 3")
        >>> Path("/tmp/numbers.txt").read_text()
        '1 2 3'
    """
    with _draft_folder(target) as folder:
        draft = folder / target.name
        yield draft
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _grant(folder)
        for file in sorted(folder.iterdir(), key=lambda file: file == draft):
            os.replace(file, target.parent / file.name)
    log("files", f"wrote {target}", path=str(target))


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which then takes the place of ``target``: whole or not at all.

    Args:
        target: the folder to be made or replaced; its own folder is there.

    Raises:
        FileError: it cannot be written; nothing is left behind, and what was there is as it was.

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
    log("files", f"wrote {target}", path=str(target))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that is filled file by file, made with its parents where it is missing.

    What was made is taken away again by a failure that leaves it empty.

    Raises:
        FileError: it cannot be made.

    Example:
        >>> with new_folder(Path("/tmp/results")) as folder:
        ...     _ = (folder / "one.txt").write_text("1")
    """
    new = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{target}: cannot be made: {reason(error)}") from error
    try:
        yield target
    except BaseException:
        with suppress(OSError):
            for folder in new:
                folder.rmdir()
        raise


def write_files(folder: Path, writers: Mapping[str, Callable[[Path], object]]) -> list[Path]:
    """Write files into a folder, which is made where it is missing: all of them appear, or none.

    Args:
        folder: where.
        writers: by the name of each file, what writes it to a path.

    Raises:
        FileError: one cannot be written.
    """
    with new_folder(folder), ExitStack() as stack:
        for name, write in writers.items():
            write(stack.enter_context(atomic_file(folder / name)))
    return [folder / name for name in writers]


def is_draft(name: str, target: str) -> bool:
    """Whether a process that was killed while it wrote ``target`` may have left a folder called ``name``."""
    return name.startswith(f".{target}.") and name.endswith(DRAFT)


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """A folder beside ``target``, on the same file system, for the time it takes."""
    folder = target.absolute().with_name(f".{target.name}.{uuid.uuid4().hex}{DRAFT}")
    try:
        folder.mkdir()
        yield folder
    except FileError as error:
        # Of a file in the folder that is to be.
        told = str(error).replace(str(folder / "new"), str(target)).replace(f"{folder}/", "")
        if told == str(error):
            raise
        raise FileError(told) from error
    except OSError as error:
        # What a draft is called is nobody's business.
        own = error.filename is not None and folder.name in os.fsdecode(error.filename)
        why = error.strerror if own else reason(error)
        raise FileError(f"{target}: cannot be written: {why}") from error
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
