"""The sequences in an array of objects of NumPy, a pickle that is not run; see `biport.pickled`.

Source: what ``ndarray.__reduce__`` and ``dtype.__reduce__`` give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from biport.pickled import Name, PickleReader

_NUMBER_TYPES = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4"})


@dataclass
class _StoredDtype:
    code: str
    order: str = "|"


@dataclass
class _StoredArray:
    shape: Any = None
    dtype: Any = None
    data: Any = None


def read_sequences(data: bytes) -> list[NDArray[np.int64]]:
    """The sequences of whole numbers in a pickled array of shape (N,), each a list or an array.

    Args:
        data: the pickle, as it follows the header in an ``.npy`` file.

    Raises:
        ValueError: it is anything else, or breaks off.
    """
    array = _ArrayReader(data).read()
    if not isinstance(array, _StoredArray) or not isinstance(array.dtype, _StoredDtype):
        raise ValueError("expected an array of objects")
    rows = array.data
    if array.dtype.code not in ("O", "O4", "O8") or not isinstance(rows, list):
        raise ValueError("expected an array of objects")
    if array.shape != (len(rows),):
        raise ValueError(f"expected {len(rows)} rows in one dimension, found another shape")
    # A row can stand in the file once and be named many times.
    sizes = sum(len(row) for row in rows if isinstance(row, list))
    sizes += sum(
        len(row.data) for row in rows if isinstance(row, _StoredArray) and isinstance(row.data, bytes)
    )
    if sizes > len(data):
        raise ValueError("holds more numbers than bytes")
    return [_sequence(row, position) for position, row in enumerate(rows)]


def _sequence(row: Any, number: int) -> NDArray[np.int64]:
    if isinstance(row, list) and set(map(type, row)) <= {int}:
        try:
            return np.array(row, np.int64)
        except OverflowError as error:
            raise ValueError(f"row {number}: {error}") from error
    if isinstance(row, _StoredArray) and isinstance(row.dtype, _StoredDtype) and isinstance(row.data, bytes):
        code, order = row.dtype.code, row.dtype.order
        if code in _NUMBER_TYPES and order in ("<", ">", "|"):
            numbers = np.frombuffer(row.data, np.dtype(order + code))
            if row.shape == numbers.shape:
                return numbers.astype(np.int64)
    raise ValueError(f"row {number}: expected a sequence of whole numbers")


class _ArrayReader(PickleReader):
    names: ClassVar = {
        ("numpy", "ndarray"): "array type",
        ("numpy", "dtype"): "dtype",
        ("numpy.core.multiarray", "_reconstruct"): "new array",
        ("numpy._core.multiarray", "_reconstruct"): "new array",
        # How Python 3 writes bytes, and those of none, in protocol 2.
        ("_codecs", "encode"): "encode",
        ("__builtin__", "bytes"): "no bytes",
    }
    kind = "array"

    def make(self, meaning: str, arguments: tuple[Any, ...]) -> Any:
        match meaning, arguments:
            case "new array", (Name("array type"), _, _):
                return _StoredArray()
            case "dtype", (str() | bytes() as code, *_):
                return _StoredDtype(_text(code))
            case "encode", (str() as text, "latin1"):
                return text.encode("latin-1")
            case "no bytes", ():
                return b""
        return super().make(meaning, arguments)

    def with_state(self, target: Any, state: Any) -> Any:
        match target, state:
            case _StoredArray(), (_, tuple() as shape, _StoredDtype() as dtype, _, list() | bytes() as data):
                target.shape, target.dtype, target.data = shape, dtype, data
            case _StoredDtype(), (_, str() | bytes() as order, *_):
                target.order = _text(order)
            case _:
                return super().with_state(target, state)
        return target


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
