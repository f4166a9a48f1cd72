"""What ONNX's operators do of a `biport.text.Tokenizer`, and over which characters that is all it does.

The operators know bytes, and of letters A to Z alone: ``StringSplit`` divides at one text,
``StringNormalizer`` makes large letters small in the locale "C", ``RegexFullMatch`` tells what is in a class
of characters. So each blank, filter and mark is a node of its own. What is left, small letters, accents and
words of other scripts, needs tables that no operator has: there a file may be written that takes texts of
some characters, and gives an error for all others.
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Literal

from biport.errors import UnsupportedError
from biport.text.characters import Characters, ranges
from biport.text.ids import FORMS, WHITE_SPACE, kind_of_letter, normalized
from biport.text.standardize import PUNCTUATION, lowers, strips
from biport.text.tokenizer import WHITESPACE, Tokenizer

COMMON_MARKS = "‘“”„–—…«»¡¿•€£°"
"""Marks beyond ASCII that texts of words are divided at; of others there are too many."""
APOSTROPHES = {"'": "'", "\u2019": "'"}

_BLOCK, _LAST = 256, 0x32400
"""Code points looked at together, and where letters and signs end; what is behind them is not taken."""
_COMPOSED = frozenset({*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)})
"""The jamo that are composed with the one before by a rule, not by a table."""


@dataclass(frozen=True)
class Plan:
    """How tokens are made of texts, in this order.

    Args:
        added: tokens that are cut out of a text before all else.
        lowers: make A to Z small.
        separators: divide there, and leave nothing of what divides.
        strips: take out the marks of ASCII.
        apart: characters that become pieces by themselves, and what these are.
        joins: which of those pieces are put together again: ``"words"``, with an apostrophe between two, or
            ``"marks"``, those that follow each other.
        characters: of which a text may be; ``None`` for any.
    """

    added: tuple[str, ...] = ()
    lowers: bool = False
    separators: tuple[str, ...] = ()
    strips: bool = False
    apart: Mapping[str, str] = field(default_factory=dict)
    joins: Literal["words", "marks"] | None = None
    characters: Characters | None = None


def plan_of(tokenizer: Tokenizer, name: str, refuse_characters: bool) -> Plan:
    """How the operators do it.

    Args:
        tokenizer: what is to be done.
        name: of the input, for messages.
        refuse_characters: whether the file may give an error for some texts, where it cannot take all.

    Raises:
        UnsupportedError: ONNX has no operators for one of the settings.
    """
    owner = f"embedding the tokeniser of input {name!r}"
    _check(tokenizer, owner)
    apart = _apart(tokenizer)
    plan = Plan(
        added=tuple(sorted(tokenizer.added, key=len, reverse=True)),
        lowers=_lowers(tokenizer),
        separators=_separators(tokenizer, owner),
        strips=strips(tokenizer.standardize),
        apart=apart,
        joins={"words": "words", "words_and_marks": "marks"}.get(tokenizer.split),  # type: ignore[arg-type]
    )
    problem = _of_some_characters(tokenizer)
    if problem is None:
        return plan
    if not refuse_characters:
        supported = (
            "what is done to ASCII alone; or, with refuse_characters=True (--refuse-characters), a file that "
            "gives an error for texts with characters that ONNX's operators have no tables for"
        )
        raise UnsupportedError(owner, *problem, supported)
    words = frozenset({*plan.separators, *plan.apart}) if plan.joins else None
    return dataclasses.replace(plan, characters=_characters(_steps(tokenizer), words))


def _lowers(tokenizer: Tokenizer) -> bool:
    asked = (lowers(tokenizer.standardize), "lower" in tokenizer.normalizers, tokenizer.split == "words")
    return any(asked)


def _check(tokenizer: Tokenizer, owner: str) -> None:
    if tokenizer.split == "character":
        raise UnsupportedError(
            owner, "split", "character", "a split at separators: ONNX divides texts at delimiters alone"
        )
    if tokenizer.filters and tokenizer.split == "none":
        raise UnsupportedError(owner, "filters", tokenizer.filters, "none where texts are not divided")
    if tokenizer.split == "words" and tokenizer.filters.lower() != tokenizer.filters.upper():
        supported = "marks and blanks: words become small behind it"
        raise UnsupportedError(owner, "filters", tokenizer.filters, supported)
    added = tokenizer.added
    for one in added:
        for other in added:
            if one != other and (other in one or _meet(one, other)):
                supported = f"tokens that do not overlap, which {other!r} does with it"
                raise UnsupportedError(owner, "added", one, supported)


def _meet(one: str, other: str) -> bool:
    """Whether the end of one may be the beginning of the other."""
    return any(one.endswith(other[:size]) for size in range(1, len(other)))


def _separators(tokenizer: Tokenizer, owner: str) -> tuple[str, ...]:
    blanks = {
        "whitespace": WHITESPACE,
        "unicode_whitespace": _blanks(),
        "white_space_property": "".join(filter(WHITE_SPACE.match, _blanks())),
        "words": _blanks(),
        "words_and_marks": "".join(filter(WHITE_SPACE.match, _blanks())),
    }.get(tokenizer.split, "")
    if tokenizer.split == "separator" and len(tokenizer.separator) > 1:
        if tokenizer.filters or strips(tokenizer.standardize):
            supported = "one of a single character, where others are filtered or taken out as well"
            raise UnsupportedError(owner, "separator", tokenizer.separator, supported)
        return (tokenizer.separator,)
    separators = [*blanks, *(tokenizer.separator if tokenizer.split == "separator" else ())]
    if tokenizer.filters:
        if not tokenizer.separator or not {*tokenizer.separator} <= {*separators}:
            supported = "one at which texts are divided, because filters become it"
            raise UnsupportedError(owner, "separator", tokenizer.separator, supported)
        separators += [one for one in tokenizer.filters if one not in separators]
    # What is not there when texts are divided, as it is taken out or made small before.
    gone = PUNCTUATION if strips(tokenizer.standardize) else ""
    gone += ascii_uppercase if _lowers(tokenizer) else ""
    # The blank, of which there are most, comes last: until then there are few pieces to look through.
    return tuple(sorted((one for one in separators if one not in gone), key=" ".__eq__))


def _apart(tokenizer: Tokenizer) -> dict[str, str]:
    if tokenizer.split not in ("words", "words_and_marks"):
        return {}
    marks = [mark for mark in (*PUNCTUATION, *COMMON_MARKS) if mark != "_"]
    own = {mark: mark for mark in (*marks, "\u2019")}
    return own | (APOSTROPHES if tokenizer.split == "words" else {})


def _of_some_characters(tokenizer: Tokenizer) -> tuple[str, str] | None:
    """The setting that asks for tables of Unicode, and what it is."""
    if tokenizer.normalizers:
        return "normalizers", ", ".join(tokenizer.normalizers)
    if tokenizer.standardize == "unicode_lower":
        return "standardize", tokenizer.standardize
    return ("split", tokenizer.split) if tokenizer.split in ("words", "words_and_marks") else None


def _steps(tokenizer: Tokenizer) -> tuple[str, ...]:
    """What is done to letters beyond ASCII."""
    own = [*tokenizer.normalizers, *(["lower"] if tokenizer.standardize == "unicode_lower" else [])]
    return (*own, *(["lower", "nfc"] if tokenizer.split == "words" else []))


@functools.cache
def _blanks() -> str:
    return "".join(letter for letter in map(chr, range(_LAST)) if letter.isspace())


@functools.cache
def _characters(steps: tuple[str, ...], words: frozenset[str] | None) -> tuple[tuple[int, int], ...]:
    """The characters of which texts become what the tokeniser makes of them.

    Each is looked at by itself: small letters depend on no other ones but for the Greek S, which is no small
    one; accents on what is before them, so that none is taken.

    Args:
        steps: what is done to letters beyond ASCII, see `normalized`.
        words: of texts that are divided into words, what else is known; ``None`` where all is.
    """
    stable = _stable(steps)
    if words is not None:
        stable = (one for one in stable if one in words or one == "_" or _of_words(one))
    return tuple(ranges(stable))


def _of_words(letter: str) -> bool:
    """Whether either kind of words has it: that of Python's ``\\w``, and that of Hugging Face."""
    return letter.isalnum() and kind_of_letter(letter) == "word"


def _stable(steps: tuple[str, ...]) -> Iterator[str]:
    """The characters that nothing but an operator of ours changes."""
    composing = _composing() if {*steps} & {*FORMS} else frozenset[str]()
    for start in (*range(0, 0xD800, _BLOCK), *range(0xE000, _LAST, _BLOCK)):
        block = "".join(map(chr, range(start, start + _BLOCK)))
        # Most blocks stay as they are, and are not looked at letter by letter.
        if any(normalized(block, step) != block for step in steps):
            block = (one for one in block if one.isascii() or all(normalized(one, it) == one for it in steps))
        yield from (one for one in block if one not in composing)


@functools.cache
def _composing() -> frozenset[str]:
    """What may become one with a character before it, or change places with one."""
    letters = [*map(chr, range(_LAST))]
    parts = map(unicodedata.decomposition, letters)
    pairs = (part.split() for part in parts if part and not part.startswith("<"))
    seconds = {chr(int(code, 16)) for pair in pairs for code in pair[1:]}
    marks = {letter for letter in letters if unicodedata.combining(letter)}
    return frozenset(seconds | marks | {*map(chr, _COMPOSED)})


def pattern_of(characters: Characters) -> str:
    """A text of the characters alone, in the syntax of RE2.

    Example:
        >>> print(pattern_of([(32, 126), (233, 233)]))
        [\\x{20}-\\x{7e}\\x{e9}-\\x{e9}]*
    """
    ranges = (rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in characters)
    return f"[{''.join(ranges)}]*"
