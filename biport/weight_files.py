"""Large arrays of weights: in files, and piece by piece, so that none of them is in memory a second time."""

from __future__ import annotations

import contextlib
import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

import numpy as np

PIECE = 2**24
"""Bytes that are looked at together."""
LARGE = 2**24
"""Bytes of an array from which on it is mapped, see `mapped_weights`."""

_MAPPED: ContextVar[bool] = ContextVar("mapped", default=False)


@contextlib.contextmanager
def mapped_weights() -> Iterator[None]:
    """Meanwhile large arrays of weights are mapped from the files they are in, and read as they are needed.

    Those of a live model are its own. None can be written to, and files and models have to stay as they are
    as long as the arrays are used: for commands, which read a model, use it and end, and not for who keeps a
    graph.
    """
    token = _MAPPED.set(True)
    try:
        yield
    finally:
        _MAPPED.reset(token)


def read_array(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array that lies in a file as it is, or a map of it, see `mapped_weights`.

    Raises:
        OSError: it cannot be read.
        EOFError: the file ends before it does.
    """
    size = dtype.itemsize * int(np.prod(shape, dtype="int64"))
    with path.open("rb") as file:
        if file.seek(0, 2) < offset + size:
            raise EOFError(f"the file ends before {offset + size}")
        if _MAPPED.get() and size >= LARGE:
            # As a plain array: what is computed of a memmap is one by class, too.
            return np.memmap(file, dtype, "r", offset, shape).view(np.ndarray)
        array = np.empty(shape, dtype)
        file.seek(offset)
        view = array.reshape(-1).view(np.uint8).data
        while view:
            count = file.readinto(view)
            if not count:
                raise EOFError(f"the file ends before {offset + size}")
            view = view[count:]
    return array


def own_array(array: np.ndarray) -> np.ndarray:
    """A copy of an array that something else has, or that array, see `mapped_weights`."""
    if not _MAPPED.get() or array.nbytes < LARGE:
        return np.array(array)
    shared = array.view()
    shared.flags.writeable = False
    return shared


def save_tensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    """Write a ``.safetensors`` file.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(arrays), path, metadata)
        give_back(arrays.values())
    except SafetensorError as error:
        # Its own class, which is no OSError, also where the disk is full.
        raise OSError(str(error)) from error


DTYPES: Mapping[str, str] = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
}
"""What safetensors calls the dtypes of NumPy."""


def load_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.safetensors`` file, each a copy of its own; or maps of it, see `mapped_weights`.

    Raises:
        OSError: it cannot be read.
        SafetensorError: it is damaged.
        LookupError: it has arrays of a dtype that NumPy does not have.
    """
    from safetensors import safe_open

    # Looks at the list of the arrays: none overlaps another, or lies outside of the file.
    with safe_open(path, framework="np"):
        pass
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        listed = json.loads(file.read(start - 8))
    listed.pop("__metadata__", None)
    return {
        name: read_array(
            path,
            start + one["data_offsets"][0],
            np.dtype(DTYPES[one["dtype"]]).newbyteorder("<"),
            tuple(one["shape"]),
        )
        for name, one in listed.items()
    }


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """An array in parts along its first axis, in order; a small one as a whole.

    Of an array that is mapped the pages are given back behind each part: they come back when they are used.

    Example:
        >>> [piece.shape for piece in pieces(np.zeros((3, 2**21, 2), "float32"))]
        [(1, 2097152, 2), (1, 2097152, 2), (1, 2097152, 2)]
    """
    if array.ndim == 0 or array.nbytes <= PIECE:
        yield array
        return
    step = max(1, PIECE * len(array) // array.nbytes)
    whole = _mapped(array)
    for start in range(0, len(array), step):
        piece = array[start : start + step]
        yield piece
        if whole is not None:
            _give_back(whole, piece)


def give_back(arrays: Iterable[np.ndarray]) -> None:
    """Have the pages of arrays that are mapped be read anew when they are used; of others nothing happens."""
    for array in arrays:
        if (whole := _mapped(array)) is not None:
            _give_back(whole, array)


def _mapped(array: np.ndarray) -> np.memmap | None:
    """The map that an array lies in."""
    whole = array
    while isinstance(whole, np.ndarray):
        if isinstance(whole, np.memmap) and whole.mode == "r" and array.flags.c_contiguous:
            return whole
        whole = whole.base
    return None


def _give_back(whole: np.memmap, piece: np.ndarray) -> None:
    mapping: mmap.mmap = whole._mmap  # pyright: ignore[reportAttributeAccessIssue]
    if not hasattr(mapping, "madvise"):
        return
    before = whole.offset % mmap.ALLOCATIONGRANULARITY
    first = piece.ctypes.data - whole.ctypes.data + before
    start, end = (at // mmap.PAGESIZE * mmap.PAGESIZE for at in (first, first + piece.nbytes))
    if end > start:
        mapping.madvise(mmap.MADV_DONTNEED, start, end - start)
