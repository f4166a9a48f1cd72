"""What the classes of a CTC model are called, and which of them is the blank: it travels with the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from biport.errors import Argument, FileError, InputError, shown
from biport.json_file import read_json

Scores = Literal["probabilities", "log_probabilities", "logits"]
"""What the numbers of a step are."""
ENDS = ("last", "first")
"""Where the blank is, in words."""
FILES = (".txt", ".json")
"""How names of files end that are no labels themselves."""


@dataclass(frozen=True)
class Alphabet:
    """The labels of a CTC model, which spell its texts.

    Args:
        characters: what its classes are called, in order, without the blank; each may be several letters.
        blank: the class that stands for nothing.
        scores: what the numbers of its output are.

    Raises:
        InputError: a label is empty, or the blank is no class.

    Example:
        >>> alphabet = Alphabet(("a", "b"), blank=0)
        >>> alphabet.size, alphabet.spell((2, 1, 1))
        (3, 'baa')
    """

    characters: tuple[str, ...]
    blank: int
    scores: Scores = "probabilities"

    def __post_init__(self) -> None:
        if not all(isinstance(one, str) and one for one in self.characters):
            raise InputError(
                Argument("characters"), f": labels are texts, none empty, found {shown(self.characters)}"
            )
        if type(self.blank) is not int or not 0 <= self.blank < self.size:
            raise InputError(
                Argument("ctc", self.blank), f": the blank is one of {self.size} classes, from 0 on"
            )
        if self.scores not in get_args(Scores):
            raise InputError(f"scores should be {', '.join(get_args(Scores))}, found {shown(self.scores)}")

    @property
    def size(self) -> int:
        """C: how many classes there are, the blank one of them."""
        return len(self.characters) + 1

    def spell(self, labels: Sequence[int]) -> str:
        """The text of classes, none of which is the blank."""
        return "".join(self.characters[label - (label > self.blank)] for label in labels)

    @property
    def summary(self) -> str:
        """In a few words."""
        return (
            f"{len(self.characters)} characters, {shown(''.join(self.characters))}, the blank is {self.blank}"
        )


def blank_of(given: str | int, characters: Sequence[str]) -> int:
    """The class of the blank.

    Args:
        given: ``"last"``, as Keras' older functions have it, ``"first"``, as torch has, or a number.
        characters: of the other classes.

    Raises:
        InputError: it is none of these.

    Example:
        >>> blank_of("last", "abc"), blank_of("first", "abc"), blank_of("2", "abc")
        (3, 0, 2)
    """
    if given in ENDS:
        return len(characters) if given == "last" else 0
    if not str(given).isdecimal():
        raise InputError(Argument("ctc", given), f": should be {', '.join(ENDS)}, or the number of a class")
    return int(given)


def read_characters(given: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """The labels of classes in order, without the blank.

    Args:
        given: a file with one a line, or with a list in JSON; or the labels: the letters of a text, or
            several texts, such as a lookup's ``get_vocabulary()``, whose first is ``"[UNK]"``.

    Raises:
        FileError: the file cannot be read, or holds something else.

    Example:
        >>> read_characters("ab"), read_characters(["[UNK]", "ab"])
        (('a', 'b'), ('[UNK]', 'ab'))
    """
    if isinstance(given, str) and not _is_file(given):
        if given.lower().endswith(FILES):
            raise FileError(f"{given}: there is no such file")
        return tuple(given)
    if not isinstance(given, str | os.PathLike):
        return tuple(given)
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read: {error}") from error
    if path.suffix.lower() != ".json":
        # A label may be a blank or a tab: only the ends of lines are none.
        return tuple(line for line in text.replace("\r\n", "\n").split("\n") if line)
    data = read_json(path)
    if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
        raise FileError(f"{path}: should hold a list of texts")
    return tuple(data)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def to_data(alphabet: Alphabet) -> dict[str, Any]:
    """As plain data."""
    return {"characters": list(alphabet.characters), "blank": alphabet.blank, "scores": alphabet.scores}


def from_data(data: Any, owner: str) -> Alphabet:
    """An alphabet that `to_data` gave.

    Raises:
        FileError: it is something else.
    """
    match data:
        case {"characters": [*characters], "blank": blank, "scores": scores}:
            try:
                return Alphabet(tuple(characters), blank, scores)
            except InputError as error:
                raise FileError(f"{owner}: {error}") from error
    kind = "a mapping" if isinstance(data, Mapping) else type(data).__name__
    raise FileError(f"{owner}: should describe the labels of a CTC model, found {kind}")
