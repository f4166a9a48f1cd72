"""Every error biport raises on purpose.

BiportError
├── InputError               data or arguments a model or a command cannot take      exit 2
├── FileError                a file that is missing, truncated, foreign or hostile   exit 2
├── WeightError              weights missing, left over, misshapen or not finite     exit 2
├── GraphError               a graph that does not hold together                     exit 2
├── MissingDependencyError   an optional package this task needs is not installed    exit 2
├── DifferentError           what was written computes something else; not kept      exit 1
└── UnsupportedError         a model biport does not port: one layer, one setting    exit 3
    └── UnsupportedModelError  all such reasons of one model at once                 exit 3
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

MAX_TEXT = 4000
"""Characters of one reason."""
MAX_REASONS = 100
"""Reasons told at once."""


def printable(text: str) -> str:
    """The text for a terminal: control characters, and others that do not show, are written out."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} [and {len(text) - MAX_TEXT} more characters]"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def shown(value: object) -> str:
    """The ``repr`` of a value, whole where it has a few dozen parts, else with what is inside left out.

    Values that hold one another several times, as models in a file can, have texts of exponential size.
    """
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    parts = list(islice(_parts(value), 201))
    return reprlib.repr(value) if len(parts) > 200 else repr(value)


def _parts(value: object) -> Iterable[object]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item


@dataclass(frozen=True)
class Argument:
    """An argument in a message: ``overwrite=True`` in Python, an option on the command line.

    Args:
        name: as functions call it.
        value: what it is or should be; left out where the message is about the argument itself.
    """

    name: str
    value: Any = ...

    def __str__(self) -> str:
        return self.name if self.value is ... else f"{self.name}={shown(self.value)}"


class BiportError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with.

    Args:
        parts: the message, in pieces where it names an `Argument`.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, *parts: object) -> None:
        self.parts = parts
        super().__init__("".join(printable(str(part)) for part in parts))

    def told(self, spelled: Callable[[Argument], str]) -> str:
        """The message with each argument as ``spelled`` has it."""
        if not any(isinstance(part, Argument) for part in self.parts):
            return str(self)
        return "".join(
            printable(spelled(part) if isinstance(part, Argument) else str(part)) for part in self.parts
        )


class InputError(BiportError, ValueError):
    """Data or arguments that a model or a command cannot take."""


class FileError(BiportError, ValueError):
    """A file that is missing, truncated, foreign or hostile; the message names it."""


class WeightError(BiportError, ValueError):
    """Weights that are missing, left over, of the wrong shape, or not finite."""


class GraphError(BiportError, ValueError):
    """A graph that does not hold together."""


class MissingDependencyError(BiportError, ImportError):
    """An optional package this task needs is not installed."""


class DifferentError(BiportError):
    """What was written does not compute what it should, and was not kept; the message is the report."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        # A report has lines of its own.
        self.args = ("\n".join(printable(line) for line in message.splitlines()),)


class UnsupportedError(BiportError):
    """One reason why a model cannot be ported.

    Args:
        owner: where it is, such as ``model.keras: layer 'bi' (Bidirectional)``.
        setting: the setting at fault, or ``None`` when the class itself is.
        value: what the setting is.
        supported: what it could be instead.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, owner: str, setting: str | None = None, value: Any = None, supported: Iterable[Any] | str = ()
    ) -> None:
        self.owner = owner
        self.setting = setting
        self.value = value
        self.supported = [supported] if isinstance(supported, str) else list(supported)
        self.layer: str | None = None
        self.class_name: str | None = None
        super().__init__(self._sentence())

    def of_layer(self, name: str, class_name: str) -> None:
        """Say which layer of the model this is about, where nothing closer to it has said so."""
        if self.layer is None:
            self.layer, self.class_name = name, class_name

    def _sentence(self) -> str:
        what = f"{self.owner}: not supported"
        if self.setting is not None:
            what = f"{self.owner}: {self.setting}={shown(self.value)} is not supported"
        if not self.supported:
            return what + "."
        return f"{what}; supported: {', '.join(str(item) for item in self.supported)}."

    def reasons(self) -> list[dict[str, Any]]:
        """The reason as data, for ``--json``."""
        return [
            {
                "owner": self.owner,
                "layer": self.layer,
                "class": self.class_name,
                "setting": self.setting,
                "value": printable(shown(self.value)) if self.setting is not None else None,
                "supported": [str(item) for item in self.supported],
            }
        ]


class UnsupportedModelError(UnsupportedError):
    """All the reasons why one model cannot be ported, found in one reading; at most `MAX_REASONS`."""

    def __init__(self, owner: str, problems: Sequence[UnsupportedError]) -> None:
        self.problems = list(problems[:MAX_REASONS])
        super().__init__(owner)
        # Its lines are its own, each printable.
        self.args = (self._sentence(),)

    def of_layer(self, name: str, class_name: str) -> None:
        """Say it of every reason."""
        for problem in self.problems:
            problem.of_layer(name, class_name)

    def _sentence(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        count = f"{len(self.problems)} or more" if len(self.problems) == MAX_REASONS else len(self.problems)
        return f"{printable(self.owner)}: {count} things are not supported:\n{lines}"

    def reasons(self) -> list[dict[str, Any]]:
        """Every reason as data, in the order of the layers."""
        return [reason for problem in self.problems for reason in problem.reasons()]


def raise_unsupported(owner: str, problems: Sequence[UnsupportedError]) -> None:
    """Raise one `UnsupportedModelError` for all ``problems``; do nothing when there are none."""
    flat: list[UnsupportedError] = []
    for problem in problems:
        flat += problem.problems if isinstance(problem, UnsupportedModelError) else [problem]
    if flat:
        raise UnsupportedModelError(owner, flat)
