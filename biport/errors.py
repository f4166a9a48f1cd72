"""Every error biport raises on purpose.

BiportError
├── InputError               data or arguments a model or a command cannot take      exit 2
│     └── RowError           one row of several, by its number                       exit 2
├── FileError                a file that is missing, truncated, foreign or hostile   exit 2
├── WeightError              weights missing, left over, misshapen or not finite     exit 2
├── SettingsError            a model to be filled that computes something else       exit 2
├── GraphError               a graph that does not hold together                     exit 2
├── MissingDependencyError   an optional package this task needs is not installed    exit 2
├── UnavailableError         more is asked than may wait, or what is asked is closed  exit 2
├── DifferentError           what was written computes something else; not kept      exit 1
└── UnsupportedError         a model biport does not port: one layer, one setting    exit 3
    └── UnsupportedModelError  all such reasons of one model at once                 exit 3
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

MAX_TEXT = 4000
"""Characters of one reason."""
SHOWN = 60
"""Characters of a row's text that a message has of it."""
MAX_REASONS = 100
"""Reasons told at once."""
MAX_CHOICES = 5
"""Supported things that one message lists; of more, the four that are most like what was asked for."""
MAX_OWNERS = 8
"""Layers that one line names, where one reason holds for more."""


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


def shortened(text: str) -> str:
    """The text in quotes, cut where it is long.

    Example:
        >>> shortened("abc" * 100)[-8:]
        "abcabc'…"
    """
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}…"


def shown(value: object) -> str:
    """The ``repr`` of a value, whole where it has a few dozen parts, else with what is inside left out.

    Values that hold one another several times, as models in a file can, have texts of exponential size.
    """
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    parts = list(islice(_parts(value), 201))
    return reprlib.repr(value) if len(parts) > 200 else repr(value)


def most_alike(value: object, choices: Iterable[Any]) -> list[str]:
    """What could be in the place of a value: all that can, or those most like it where there are many.

    What is for one dimension is not like what is for two or three, however alike their names.

    Example:
        >>> most_alike("AvgPool1D", ["Add", "AveragePooling1D", "Conv1D", "Dense", "GRU", "MaxPool1D"])
        ['MaxPool1D', 'AveragePooling1D', 'Conv1D', 'Add']
    """
    asked = _name(value)
    every = [str(choice) for choice in choices]
    texts = [text for text in every if text not in (asked, repr(asked))] or every
    if len(texts) <= MAX_CHOICES:
        return texts

    planes = re.search("[23]d", asked.lower()) is not None

    def likeness(text: str) -> float:
        name = text.strip("'").lower()
        return 0 if planes and "1d" in name else difflib.SequenceMatcher(None, name, asked.lower()).ratio()

    return sorted(texts, key=likeness, reverse=True)[: MAX_CHOICES - 1]


def _name(value: object) -> str:
    """What a value is called; of a serialised function or layer, which one it is."""
    match value:
        case str():
            return value
        case {"class_name": "function", "config": str(name)} | {"class_name": str(name)}:
            return name
    return shown(value)[:200]


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


class RowError(InputError):
    """One row of several that a model cannot take.

    Args:
        number: of the row, from 1.
        row: what was given; of a text the beginning is in the message.
        error: why.
    """

    def __init__(self, number: int, row: object, error: BiportError) -> None:
        text = f", {shortened(row)}" if isinstance(row, str) else ""
        super().__init__(f"row {number}{text}: ", *error.parts)
        self.number = number
        self.why = error
        """The same without the row."""


class FileError(BiportError, ValueError):
    """A file that is missing, truncated, foreign or hostile; the message names it."""


class WeightError(BiportError, ValueError):
    """Weights that are missing, left over, of the wrong shape, or not finite."""


@dataclass(frozen=True)
class SettingDifference:
    """A layer of a model that computes something else than the graph's node of its name.

    Args:
        layer: its name.
        setting: which; of a layer inside by its path, ``forward.activation``.
        target: what it is in the model.
        graph: what it is in the graph.
    """

    layer: str
    setting: str
    target: Any
    graph: Any

    def __str__(self) -> str:
        return (
            f"layer {self.layer!r}: {self.setting} is {shown(self.target)}, the graph's {shown(self.graph)}"
        )


class SettingsError(BiportError, ValueError):
    """A model that is to be filled with a graph's weights and would compute something else with them.

    Args:
        owner: the model.
        differences: all of them.
    """

    def __init__(self, owner: str, differences: Sequence[SettingDifference]) -> None:
        self.differences = tuple(differences)
        head = f"{owner} computes something else than the graph; settings='ignore' fills it all the same:"
        lines = [head, *(f"  - {difference}" for difference in self.differences)]
        super().__init__(head)
        self.args = ("\n".join(printable(line) for line in lines),)


class GraphError(BiportError, ValueError):
    """A graph that does not hold together."""


class MissingDependencyError(BiportError, ImportError):
    """An optional package this task needs is not installed."""


class UnavailableError(BiportError):
    """More is asked at once than may wait, or what is asked is closed; later may be better."""


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
        supported: what it could be instead; of many things the message lists those most like the value.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self, owner: str, setting: str | None = None, value: Any = None, supported: Iterable[Any] | str = ()
    ) -> None:
        self.owner = owner
        self.setting = setting
        self.value = value
        choices = [supported] if isinstance(supported, str) else list(supported)
        self.supported = most_alike(value, choices)
        self._others = max(len(choices) - MAX_CHOICES, 0) if len(choices) > len(self.supported) else 0
        self._advice: tuple[object, ...] = ()
        self.layer: str | None = None
        self.class_name: str | None = None
        super().__init__(self._sentence())

    def advise(self, *advice: object) -> None:
        """Say what can be done instead, in pieces where that names an `Argument`."""
        self._advice = advice
        self.args = (self.told(str),)

    @property
    def advice(self) -> str:
        """What can be done instead."""
        return "".join(str(part) for part in self._advice)

    def told(self, spelled: Callable[[Argument], str]) -> str:
        """The message with each argument as ``spelled`` has it."""
        if not self._advice:
            return str(self)
        advice = (spelled(part) if isinstance(part, Argument) else str(part) for part in self._advice)
        return f"{self._sentence()}\n{printable(''.join(advice))}"

    def spell(self, spelled: Callable[[Argument], str]) -> None:
        """Have what can be done instead name arguments as ``spelled`` does."""
        if self._advice:
            self.advise(*(spelled(part) if isinstance(part, Argument) else part for part in self._advice))

    def of_layer(self, name: str, class_name: str) -> None:
        """Say which layer of the model this is about, where nothing closer to it has said so."""
        if self.layer is None:
            self.layer, self.class_name = name, class_name

    def _sentence(self) -> str:
        return f"{self.owner}: {self.why}"

    @property
    def why(self) -> str:
        """The reason, without what it is about."""
        what = "not supported"
        if self.setting is not None:
            what = f"{self.setting}={shown(self.value)} is not supported"
        if not self.supported:
            return f"{what}."
        others = f", and {self._others} others" if self._others else ""
        return f"{what}; supported: {', '.join(self.supported)}{others}."

    def lines(self) -> Iterable[str]:
        """The reason for a terminal."""
        yield str(self)

    def reasons(self) -> list[dict[str, Any]]:
        """The reason as data, for ``--json``."""
        return [
            {
                "owner": self.owner,
                "layer": self.layer,
                "class": self.class_name,
                "setting": self.setting,
                "value": printable(shown(self.value)) if self.setting is not None else None,
                "supported": self.supported,
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
        lines = "\n".join(f"  - {line}" for line in self.lines())
        count = f"{len(self.problems)} or more" if len(self.problems) == MAX_REASONS else len(self.problems)
        return f"{printable(self.owner)}: {count} things are not supported:\n{lines}"

    def lines(self) -> Iterable[str]:
        """A line a reason, with all that it is true of."""
        owners: dict[str, list[UnsupportedError]] = {}
        for problem in self.problems:
            owners.setdefault(problem.why, []).append(problem)
        for why, (problem, *others) in owners.items():
            if not others:
                yield str(problem)
                continue
            names = [other.owner.removeprefix(f"{self.owner}: ") for other in (problem, *others)]
            left = f" and {len(names) - MAX_OWNERS} more" if len(names) > MAX_OWNERS else ""
            yield printable(f"{self.owner}: {', '.join(names[:MAX_OWNERS])}{left}: {why}")

    def reasons(self) -> list[dict[str, Any]]:
        """Every reason as data, in the order of the layers."""
        return [reason for problem in self.problems for reason in problem.reasons()]


def joined(owner: str, problems: Sequence[UnsupportedError]) -> UnsupportedError:
    """One error for one or more problems, each of their reasons once."""
    flat: dict[str, UnsupportedError] = {}
    for problem in problems:
        for reason in problem.problems if isinstance(problem, UnsupportedModelError) else [problem]:
            flat.setdefault(str(reason), reason)
    reasons = list(flat.values())
    return reasons[0] if len(reasons) == 1 else UnsupportedModelError(owner, reasons)


def raise_unsupported(owner: str, problems: Sequence[UnsupportedError]) -> None:
    """Raise one `UnsupportedModelError` for all ``problems``; do nothing when there are none."""
    if problems:
        error = joined(owner, problems)
        raise error if isinstance(error, UnsupportedModelError) else UnsupportedModelError(owner, [error])
