"""Files of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biport.errors import InputError
from biport.file_kind import FileKind, file_kind, foreign
from biport.files import atomic_file


def load_inputs(path: Path) -> Any:
    """The arrays of an ``.npz`` file by name, or in a list the only array of an ``.npz`` or ``.npy`` file.

    Raises:
        InputError: the file is missing or damaged.
        FileError: it is something else than arrays; the message says what, and what takes it.
    """
    import zipfile

    import numpy as np

    if not path.is_file():
        raise InputError(f"{path}: is a folder" if path.is_dir() else f"{path}: no such file")
    # Anything else numpy takes for a pickle, and says how to load that unsafely.
    if file_kind(path) not in (FileKind.ARRAYS, FileKind.DAMAGED_ZIP):
        raise foreign(path, "a file of arrays (.npz or .npy)")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            single = isinstance(loaded, np.ndarray)
            arrays = [loaded] if single else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a whole .npz or .npy file of plain arrays ({error})") from error
    # A model with one input takes the only array of a file whatever it is called.
    return list(arrays.values()) if isinstance(arrays, dict) and len(arrays) == 1 else arrays


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an ``.npz`` so that it appears whole or not at all."""
    import numpy as np

    with atomic_file(path) as draft:
        np.savez(draft, **arrays)
