"""The sequences in an array of objects of NumPy, without running pickle.

NumPy stores such an array as a pickle, which is a program: ``np.load(allow_pickle=True)`` runs it, and so
whatever the file says. Here nothing is run. A reader of the few instructions that such an array needs builds
lists, tuples, numbers and texts; the few names it knows become marks, and neither a class nor a function is
ever looked up or called. Any other instruction or name is refused. A ``pickle.Unpickler`` that knows these
names alone would not do: it hands NumPy's own types whatever state a file has made up, and an instruction of
five bytes makes it fill gigabytes.

Source: the instructions as Python's ``pickletools`` documents them; what ``ndarray.__reduce__`` and
``dtype.__reduce__`` give.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    ("numpy", "ndarray"): "array type",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "new array",
    ("numpy._core.multiarray", "_reconstruct"): "new array",
    # How Python 3 writes bytes, and those of none, in protocol 2.
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "no bytes",
}
# A run of the instructions for small numbers, BININT1, BININT2 and BININT, which is most of such a file.
_NUMBERS = re.compile(rb"(?:K.|M..|J.{4})+", re.DOTALL)
_NUMBER_TYPES = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4"})


@dataclass(frozen=True)
class _Name:
    """A name that stands for a class or a function of NumPy."""

    meaning: str


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
    array = _PickleReader(data).read()
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


@dataclass
class _PickleReader:
    """Runs through the instructions, with pickle's stack, marks and memo."""

    data: bytes
    position: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def read(self) -> Any:
        while True:
            numbers = _NUMBERS.match(self.data, self.position)
            if numbers:
                # Mark, numbers, list, stop: a program of nothing else, known by the pattern.
                self.stack += pickle.loads(b"(" + numbers[0] + b"l.")
                self.position = numbers.end()
            instruction = self.take(1)
            if instruction == b".":
                return self.pop()
            step = _STEPS.get(instruction)
            if step is None and instruction in (b"K", b"M", b"J"):
                raise ValueError("breaks off")
            if step is None:
                raise ValueError(f"instruction 0x{instruction.hex()} at byte {self.position - 1} is not read")
            step(self)

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError("breaks off")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def take_sized(self, size: int) -> bytes:
        """The bytes behind their own number, which has ``size`` bytes."""
        return self.take(self.take_number(size))

    def take_line(self) -> str:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise ValueError("breaks off")
        return self.take(end + 1 - self.position)[:-1].decode("latin-1")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.pop_many(1)[0]

    def pop_many(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("takes more than there is")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("has no mark to go back to")
        values = self.pop_many(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return values

    def remember(self, number: int) -> None:
        value = self.pop()
        self.memo[number] = value
        self.push(value)

    def recall(self, number: int) -> None:
        if number not in self.memo:
            raise ValueError("recalls what it has not met")
        self.push(self.memo[number])

    def extend(self, values: list[Any]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            raise ValueError("appends to something other than a list")
        target.extend(values)
        self.push(target)

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("names something without a name")
        if (module, name) not in _NAMES:
            raise ValueError(f"names {module[:40]!r}, {name[:40]!r}, which no array needs")
        self.push(_Name(_NAMES[module, name]))

    def call(self) -> None:
        """Make what a call of one of NumPy's names would make, without it."""
        function, arguments = self.pop_many(2)
        meaning = function.meaning if isinstance(function, _Name) else ""
        match meaning, arguments:
            case "new array", (_Name("array type"), _, _):
                self.push(_StoredArray())
            case "dtype", (str() | bytes() as code, *_):
                self.push(_StoredDtype(_text(code)))
            case "encode", (str() as text, "latin1"):
                self.push(text.encode("latin-1"))
            case "no bytes", ():
                self.push(b"")
            case _:
                raise ValueError("calls something that makes no array")

    def set_state(self) -> None:
        target, state = self.pop_many(2)
        match target, state:
            case _StoredArray(), (_, tuple() as shape, _StoredDtype() as dtype, _, list() | bytes() as data):
                target.shape, target.dtype, target.data = shape, dtype, data
            case _StoredDtype(), (_, str() | bytes() as order, *_):
                target.order = _text(order)
            case _:
                raise ValueError("sets the state of something that is no array")
        self.push(target)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


_STEPS: dict[bytes, Callable[[_PickleReader], Any]] = {
    b"\x80": lambda reader: reader.take(1),  # protocol
    b"\x95": lambda reader: reader.take(8),  # frame
    b"(": lambda reader: reader.marks.append(len(reader.stack)),
    b"N": lambda reader: reader.push(None),
    b"\x88": lambda reader: reader.push(True),
    b"\x89": lambda reader: reader.push(False),
    b"\x8a": lambda reader: reader.push(int.from_bytes(reader.take_sized(1), "little", signed=True)),
    b"]": lambda reader: reader.push([]),
    b"a": lambda reader: reader.extend(reader.pop_many(1)),
    b"e": lambda reader: reader.extend(reader.pop_to_mark()),
    b")": lambda reader: reader.push(()),
    b"t": lambda reader: reader.push(tuple(reader.pop_to_mark())),
    b"\x85": lambda reader: reader.push(tuple(reader.pop_many(1))),
    b"\x86": lambda reader: reader.push(tuple(reader.pop_many(2))),
    b"\x87": lambda reader: reader.push(tuple(reader.pop_many(3))),
    b"X": lambda reader: reader.push(reader.take_sized(4).decode()),
    b"\x8c": lambda reader: reader.push(reader.take_sized(1).decode()),
    b"C": lambda reader: reader.push(reader.take_sized(1)),
    b"B": lambda reader: reader.push(reader.take_sized(4)),
    b"\x8e": lambda reader: reader.push(reader.take_sized(8)),
    b"U": lambda reader: reader.push(reader.take_sized(1)),  # str of Python 2
    b"T": lambda reader: reader.push(reader.take_sized(4)),
    b"q": lambda reader: reader.remember(reader.take_number(1)),
    b"r": lambda reader: reader.remember(reader.take_number(4)),
    b"\x94": lambda reader: reader.remember(len(reader.memo)),
    b"h": lambda reader: reader.recall(reader.take_number(1)),
    b"j": lambda reader: reader.recall(reader.take_number(4)),
    b"c": lambda reader: reader.name(reader.take_line(), reader.take_line()),
    b"\x93": lambda reader: reader.name(*reader.pop_many(2)),
    b"R": lambda reader: reader.call(),
    b"b": lambda reader: reader.set_state(),
}
