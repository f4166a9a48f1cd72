"""Characters of which the texts may be that a file takes: ranges of code points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from biport.errors import FileError

Characters = Sequence[tuple[int, int]]
"""The first and the last code point of each range."""


def ranges(characters: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Characters in their order, as ranges.

    Example:
        >>> list(ranges("abcx"))
        [(97, 99), (120, 120)]
    """
    numbers = enumerate(map(ord, characters))
    for _, run in groupby(numbers, lambda pair: pair[1] - pair[0]):
        codes = [code for _, code in run]
        yield codes[0], codes[-1]


def common(first: Characters, second: Characters) -> Characters:
    """The characters that are in both.

    Example:
        >>> common([(32, 126)], [(0, 64), (120, 300)])
        [(32, 64), (120, 126)]
    """
    pairs = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((a, b) for a, b in pairs if a <= b)


def refused(characters: Characters, text: str) -> Iterator[str]:
    """What of a text is none of the characters.

    Example:
        >>> list(refused([(32, 126)], "caf\\u00e9"))
        ['é']
    """
    return (one for one in text if not any(first <= ord(one) <= last for first, last in characters))


def from_data(content: Any, owner: str) -> dict[str, Characters]:
    """By the names of inputs, of JSON; ``owner`` is where it is from, for messages.

    Raises:
        FileError: it is something else.
    """
    try:
        return {str(name): [(int(a), int(b)) for a, b in pairs] for name, pairs in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise FileError(f"{owner}: should hold ranges of characters by input") from error
