"""How a text becomes ids, by the settings of a `biport.text.Tokenizer` as plain data.

The standard library alone: a folder of plain PyTorch has the source of this in its ``model.py``, so that it
gives the very ids.
"""

from __future__ import annotations

import functools
import itertools
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

BLANKS = re.compile("[ \t\n\v\f\r]+")
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
MARKS = str.maketrans("", "", string.punctuation)
WORDS = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
WHITE_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
OF_WORDS = re.compile(
    "[\u200c\u200d\u24b6-\u24e9\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]"
)
FORMS: Mapping[str, Literal["NFC", "NFD", "NFKC", "NFKD"]] = {
    "nfc": "NFC",
    "nfd": "NFD",
    "nfkc": "NFKC",
    "nfkd": "NFKD",
}


def known_ids(settings: Mapping[str, Any]) -> dict[str, int]:
    """The id of each token of the vocabulary, and of the one that stands for padding."""
    tokens, first = settings["tokens"], settings["first_id"]
    numbers = settings["ids"] or range(first, first + len(tokens))
    known = dict(zip(tokens, numbers, strict=True))
    if settings["mask_token"] is not None:
        known[settings["mask_token"]] = settings["padding_id"]
    return known


def ids_of(settings: Mapping[str, Any], known: Mapping[str, int], given: str | Sequence[str]) -> list[int]:
    """The ids of a text, or of a row of tokens, neither cut nor padded."""
    return looked_up(settings, known, tokens_of(settings, given))


def tokens_of(settings: Mapping[str, Any], given: str | Sequence[str]) -> list[str]:
    """What of a text, or of a row of tokens, is looked up: tokens, or their n-grams."""
    pieces = [given] if isinstance(given, str) else list(given)
    if settings["added"]:
        # In what re.split gives, every other piece is one that it divided at.
        pieces = added_pattern(tuple(settings["added"])).split(pieces[0])
    tokens: list[str] = []
    for number, piece in enumerate(pieces):
        if settings["added"] and number % 2:
            tokens.append(piece)
        else:
            tokens += divided(settings, standardized(settings, piece))
    if not settings["ngrams"]:
        return tokens
    return [
        " ".join(tokens[start : start + size])
        for size in settings["ngrams"]
        for start in range(len(tokens) - size + 1)
    ]


@functools.cache
def added_pattern(tokens: Sequence[str]) -> re.Pattern[str]:
    """What divides a text at tokens that are looked for before all else, the longest first."""
    ranked = sorted(tokens, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, ranked))})")


def standardized(settings: Mapping[str, Any], text: str) -> str:
    """``text`` as it is divided."""
    for step in settings["normalizers"]:
        text = normalized(text, step)
    how = settings["standardize"]
    if how == "unicode_lower":
        text = text.lower()
    if how in ("lower", "lower_and_strip_punctuation"):
        text = text.translate(LOWER)
    if how in ("strip_punctuation", "lower_and_strip_punctuation"):
        text = text.translate(MARKS)
    if settings["filters"]:
        text = text.translate(str.maketrans(dict.fromkeys(settings["filters"], settings["separator"])))
    return text


def normalized(text: str, step: str) -> str:
    """``text`` after one step that comes before everything else."""
    if step == "lower":
        # Letter by letter: the small form of a Greek S does not depend on what is behind it.
        return "".join(letter.lower() for letter in text)
    if step == "strip_accents":
        return "".join(letter for letter in text if unicodedata.category(letter)[0] != "M")
    return unicodedata.normalize(FORMS[step], text)


def divided(settings: Mapping[str, Any], text: str) -> list[str]:
    """The tokens of ``text``."""
    split = settings["split"]
    if split == "none":
        return [text]
    if split == "character":
        return list(text)
    if split == "words":
        return WORDS.findall(plain(text))
    if split == "words_and_marks":
        runs = itertools.groupby(text, kind_of_letter)
        return ["".join(run) for kind, run in runs if kind != "blank"]
    if split == "unicode_whitespace":
        return text.split()
    if split == "separator":
        parts = text.split(settings["separator"])
    else:
        parts = (BLANKS if split == "whitespace" else WHITE_SPACE).split(text)
    return [part for part in parts if part]


def plain(text: str) -> str:
    """``text`` in small letters, accents composed, apostrophes straight."""
    return unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")


@functools.lru_cache(10_000)
def kind_of_letter(letter: str) -> str:
    """``"word"``, ``"blank"`` or ``"mark"``, by the properties that Unicode gives regular expressions."""
    if WHITE_SPACE.match(letter):
        return "blank"
    category = unicodedata.category(letter)
    of_words = category[0] in "LM" or category in ("Nd", "Nl", "Pc") or OF_WORDS.match(letter)
    return "word" if of_words else "mark"


def looked_up(settings: Mapping[str, Any], known: Mapping[str, int], tokens: Sequence[str]) -> list[int]:
    """The ids of tokens, those that are not known dropped where there is no id for them and that is said."""
    if settings["unknown_id"] is not None:
        return [known.get(token, settings["unknown_id"]) for token in tokens]
    if settings["unknown"] == "error":
        for token in tokens:
            if token not in known:
                raise ValueError(f"{token[:60]!r} is not in the vocabulary, and there is no id for others")
    return [known[token] for token in tokens if token in known]


def fitted(settings: Mapping[str, Any], ids: list[int]) -> list[int]:
    """A row cut and between its ends, and padded where rows have one length."""
    front = [] if settings["start"] is None else [settings["start"]]
    back = [] if settings["end"] is None else [settings["end"]]
    sizes = [size for size in (settings["length"], settings["max_length"]) if size is not None]
    room = min(sizes) - len(front) - len(back) if sizes else len(ids)
    cut = ids[:room] if settings["truncating"] == "post" else ids[max(0, len(ids) - room) :]
    return padded(settings, [*front, *cut, *back], settings["length"] or 0)


def padded(settings: Mapping[str, Any], ids: list[int], width: int) -> list[int]:
    """A row as long as ``width``, or as it is where it is that long."""
    padding = [settings["padding_id"]] * (width - len(ids))
    return padding + ids if settings["padding"] == "pre" else ids + padding


def rows_of(settings: Mapping[str, Any], rows: Sequence[list[int]]) -> list[list[int]]:
    """Rows of ids, neither cut nor padded, as those of one table."""
    lines = [fitted(settings, row) for row in rows]
    width = max(map(len, lines), default=settings["length"] or 0)
    return [padded(settings, line, width) for line in lines]
