"""Rows of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biport.errors import Argument, InputError

Side = Literal["left", "right"]

_LARGEST = 2**31 - 1


def check_layout(length: int | None, padding: str, truncating: str) -> None:
    """Refuse a layout that `pad` does not know.

    Raises:
        InputError: for a length below 1 or an unknown end.
    """
    if length is not None and length < 1:
        raise InputError(Argument("length", length), ": a row has at least 1 token.")
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("left", "right"):
            raise InputError(f'{name}={side!r}: it is "left" or "right".')


def pad(
    rows: Sequence[ArrayLike],
    length: int | None = None,
    padding: Side = "right",
    truncating: Side = "right",
) -> NDArray[np.int32]:
    """Put rows of ids into one array, padded with 0; ids of shape (N, T).

    ``pad(rows, length, "left", "left")`` is what ``keras.utils.pad_sequences(rows, length)`` does.

    Args:
        rows: N sequences of ids, each of shape (any,); an empty one becomes a row of padding only.
        length: T; ``None`` for the length of the longest row, at least 1.
        padding: the end of a short row that the padding goes to.
        truncating: the end of a long row that loses ids.

    Raises:
        InputError: for a length below 1, an unknown end, or a row that is no sequence of whole numbers that
            fit into int32.
    """
    check_layout(length, padding, truncating)
    arrays = [_ids(row, number) for number, row in enumerate(rows)]
    T = max([1, *map(len, arrays)]) if length is None else length
    batch = np.zeros((len(arrays), T), np.int32)
    for target, ids in zip(batch, arrays, strict=True):
        kept = ids[:T] if truncating == "right" else ids[-T:]
        start = 0 if padding == "right" else T - len(kept)
        target[start : start + len(kept)] = kept
    return batch


def _ids(row: ArrayLike, number: int) -> NDArray[np.int32]:
    try:
        ids = np.asarray(row)
    except ValueError as error:
        raise InputError(f"row {number} is not a sequence of whole numbers: {error}.") from error
    # An empty list has no kind of its own; NumPy calls it float.
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        given = f"{ids.dtype} of shape {ids.shape}"
        raise InputError(f"row {number} is {given}, not a sequence of whole numbers.")
    wide = ids.size and not np.can_cast(ids.dtype, np.int32)
    if wide and max(int(ids.max()), -1 - int(ids.min())) > _LARGEST:
        raise InputError(f"row {number} has ids from {ids.min()} to {ids.max()}, which int32 does not hold.")
    return ids.astype(np.int32)
