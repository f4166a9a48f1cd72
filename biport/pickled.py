"""A pickle read without running it.

A pickle is a program: to load it is to run whatever it says. Here nothing is run. A reader of the few
instructions that plain data needs builds lists, tuples, mappings, numbers and texts; the few names that a
kind of file needs become marks, and neither a class nor a function is ever looked up or called. Any other
instruction or name is refused. A ``pickle.Unpickler`` that knows some names alone would not do: it hands the
types of NumPy whatever state a file has made up, and an instruction of five bytes makes it fill gigabytes.

Source: the instructions as Python's ``pickletools`` documents them.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

# A run of the instructions for small numbers, BININT1, BININT2 and BININT, which is most of such a file.
_NUMBERS = re.compile(rb"(?:K.|M..|J.{4})+", re.DOTALL)


@dataclass(frozen=True)
class Name:
    """A name that stands for a class or a function."""

    meaning: str


@dataclass
class PickleReader:
    """Runs through the instructions, with pickle's stack, marks and memo.

    Classes below it say which names a kind of file has, and what calls of these make.
    """

    data: bytes
    position: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    names: ClassVar[Mapping[tuple[str, str], str]] = {}
    """What the names mean that may be there, by module and name."""
    kind: ClassVar[str] = "plain data"
    """What the file should be, for messages."""

    def make(self, meaning: str, arguments: tuple[Any, ...]) -> Any:
        """What a call of a name would make, without it.

        Raises:
            ValueError: nothing that this kind of file has.
        """
        raise ValueError(f"calls something that makes no {self.kind}")

    def with_state(self, target: Any, state: Any) -> Any:
        """``target`` in the state that the file gives it.

        Raises:
            ValueError: it has no state.
        """
        raise ValueError(f"sets the state of something that is no {self.kind}")

    def read(self) -> Any:
        """What the program gives."""
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
        """The next bytes."""
        end = self.position + size
        if end > len(self.data):
            raise ValueError("breaks off")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_number(self, size: int) -> int:
        """The next whole number without a sign."""
        return int.from_bytes(self.take(size), "little")

    def take_sized(self, size: int) -> bytes:
        """The bytes behind their own number, which has ``size`` bytes."""
        return self.take(self.take_number(size))

    def take_line(self) -> str:
        """The rest of the line."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise ValueError("breaks off")
        return self.take(end + 1 - self.position)[:-1].decode("latin-1")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the topmost value off."""
        return self.pop_many(1)[0]

    def pop_many(self, count: int) -> list[Any]:
        """Take the topmost values off, none from below the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("takes more than there is")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop_to_mark(self) -> list[Any]:
        """Take all off that is above the last mark, and the mark."""
        if not self.marks:
            raise ValueError("has no mark to go back to")
        values = self.pop_many(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return values

    def remember(self, number: int) -> None:
        """Keep the topmost value in the memo."""
        value = self.pop()
        self.memo[number] = value
        self.push(value)

    def recall(self, number: int) -> None:
        """Push what is in the memo."""
        if number not in self.memo:
            raise ValueError("recalls what it has not met")
        self.push(self.memo[number])

    def extend(self, values: list[Any]) -> None:
        """Append to the list that is topmost."""
        target = self.pop()
        if not isinstance(target, list):
            raise ValueError("appends to something other than a list")
        target.extend(values)
        self.push(target)

    def put(self, pairs: list[Any]) -> None:
        """Add keys and values to the mapping that is topmost."""
        target = self.pop()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise ValueError("puts something into what is no mapping")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | bytes | int | float | None):
                raise ValueError("a mapping has a key that is neither text nor number")
            target[key] = value
        self.push(target)

    def name(self, module: Any, name: Any) -> None:
        """Push the mark for a name."""
        module, name = (text.decode() if isinstance(text, bytes) else text for text in (module, name))
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("names something without a name")
        if (module, name) not in self.names:
            raise ValueError(f"names {module[:40]!r}, {name[:40]!r}, which no {self.kind} needs")
        self.push(Name(self.names[module, name]))

    def call(self) -> None:
        """Push what a call would make."""
        function, arguments = self.pop_many(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise ValueError(f"calls something that makes no {self.kind}")
        self.push(self.make(function.meaning, arguments))

    def set_state(self) -> None:
        """Push a value in the state that it is given."""
        target, state = self.pop_many(2)
        self.push(self.with_state(target, state))


_STEPS: dict[bytes, Callable[[PickleReader], Any]] = {
    b"\x80": lambda reader: reader.take(1),  # protocol
    b"\x95": lambda reader: reader.take(8),  # frame
    b"(": lambda reader: reader.marks.append(len(reader.stack)),
    b"N": lambda reader: reader.push(None),
    b"\x88": lambda reader: reader.push(True),
    b"\x89": lambda reader: reader.push(False),
    b"\x8a": lambda reader: reader.push(int.from_bytes(reader.take_sized(1), "little", signed=True)),
    b"G": lambda reader: reader.push(struct.unpack(">d", reader.take(8))[0]),
    b"}": lambda reader: reader.push({}),
    b"s": lambda reader: reader.put(reader.pop_many(2)),
    b"u": lambda reader: reader.put(reader.pop_to_mark()),
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
    b"\x81": lambda reader: reader.call(),  # the same of a class
    b"b": lambda reader: reader.set_state(),
}
