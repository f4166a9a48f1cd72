"""From text to rows of token ids, and back."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport.data.padding import Side, check_layout, pad
from biport.errors import Argument, FileError, InputError
from biport.file_kind import FileKind, file_kind, foreign
from biport.json_file import read_json, write_json
from biport.text.fitted import (
    END,
    END_ID,
    FORMAT,
    PAD,
    PAD_ID,
    START,
    START_ID,
    UNK,
    UNK_ID,
    Unit,
    has_ends,
    problem_with,
    tokenizer_of,
)
from biport.text.ids import WORDS, plain
from biport.text.tokenizer import Tokenizer

_WORD = re.compile(r"\w+(?:'\w+)*")


def tokenize(text: str) -> list[str]:
    """Split ``text`` into lower-case words and single punctuation marks.

    A word is a run of letters, digits and underscores of any script; apostrophes inside it stay
    (``don't``), those around it are marks of their own, and the curly apostrophe counts as the straight
    one. Every other character that is not white space is a token by itself, so ``<pad>`` in a text gives
    three tokens and never the special one. Composed and decomposed accents give the same tokens, and
    tokens joined with spaces split into themselves again.
    """
    return WORDS.findall(plain(text))


def words(text: str) -> list[str]:
    """The tokens of ``text`` that are words, without the marks between them."""
    return _WORD.findall(plain(text))


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows; a token's position is its id.

    Args:
        tokens: all different; ``<pad>`` first (id 0) and ``<unk>`` second (id 1). Where ``<start>`` (id 2)
            and ``<end>`` (id 3) follow, every encoded text stands between them: the target side of a
            sequence-to-sequence model.
        unit: what a token is: a ``"word"`` or mark, as `tokenize` splits them, or a ``"character"``, taken
            as it is, case and white space included.

    Raises:
        InputError: for tokens that are not so.
    """

    tokens: tuple[str, ...]
    unit: Unit = "word"

    def __post_init__(self) -> None:
        problem = problem_with(self.tokens, self.unit)
        if problem:
            raise InputError(f"A vocabulary cannot be made of these tokens: {problem}.")

    @classmethod
    def fit(
        cls, texts: Iterable[str], max_size: int | None = None, unit: Unit = "word", ends: bool = False
    ) -> Vocabulary:
        """Collect the tokens of ``texts``, the most frequent first, ties in alphabetical order.

        Args:
            texts: any number of texts, none included.
            max_size: how many tokens to keep at most, the special ones counted; ``None`` for all.
            unit: ``"word"`` or ``"character"``.
            ends: whether an encoded text starts with ``<start>`` and ends with ``<end>``.

        Raises:
            InputError: for one text instead of several, a ``max_size`` too small for the special tokens, or
                an unknown unit.
        """
        special = (PAD, UNK, START, END) if ends else (PAD, UNK)
        if max_size is not None and max_size < len(special):
            needed = "four" if ends else "two"
            raise InputError(
                Argument("max_size", max_size), f": the {needed} special tokens alone need {len(special)}."
            )
        empty = cls(special, unit)
        counts = Counter(token for text in several(texts) for token in empty.split(text))
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls((*special, *ranked)[:max_size], unit)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ends(self) -> bool:
        """Whether an encoded text starts with ``<start>`` and ends with ``<end>``."""
        return has_ends(self.tokens)

    def split(self, text: str) -> list[str]:
        """The tokens of ``text``, without the special ones, whether the vocabulary has them or not."""
        return tokenize(text) if self.unit == "word" else list(text)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def tokenizer(self, source: str = "text") -> Tokenizer:
        """The tokeniser that gives the ids of `encode`, for what a model carries.

        Args:
            source: the name of the model's input of texts.

        Example:
            >>> Vocabulary((PAD, UNK, "good")).tokenizer().encode_batch(["Good!", ""]).tolist()
            [[2, 1], [0, 0]]
        """
        return tokenizer_of(self.tokens, self.unit, source)

    def encode(self, text: str) -> list[int]:
        """The id of every token of ``text``, 1 for those not in the vocabulary; never 0.

        With `ends`, 2 stands before them and 3 behind.
        """
        ids = [self._ids.get(token, UNK_ID) for token in self.split(text)]
        return [START_ID, *ids, END_ID] if self.ends else ids

    def encode_batch(
        self,
        texts: Iterable[str],
        length: int | None = None,
        padding: Side = "right",
        truncating: Side = "right",
    ) -> NDArray[np.int32]:
        """Encode ``texts`` into one array, a text a row, padded with 0; ids of shape (N, T).

        Args:
            texts: N texts; one without tokens becomes a row of padding only.
            length: T, the tokens in a row; ``None`` for those of the longest text, at least 1.
            padding: the end of a short row that the padding goes to.
            truncating: the end of a long row that loses tokens, ``<start>`` or ``<end>`` among them.

        Raises:
            InputError: for one text instead of several, a length below 1, or an unknown end.
        """
        check_layout(length, padding, truncating)
        return pad([self.encode(text) for text in several(texts)], length, padding, truncating)

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens of ``ids``, of shape (T,), words joined with spaces; padding is left out.

        With `ends`, ``<start>`` is left out too, and so is all from the first ``<end>`` on.

        Raises:
            InputError: for an id outside the vocabulary.
        """
        tokens = []
        for number in map(int, ids):
            if self.ends and number == END_ID:
                break
            if number != PAD_ID and not (self.ends and number == START_ID):
                tokens.append(self._token(number))
        return (" " if self.unit == "word" else "").join(tokens)

    def _token(self, number: int) -> str:
        # A negative id would otherwise count from the end.
        if not 0 <= number < len(self.tokens):
            raise InputError(f"id {number} is not in this vocabulary of {len(self.tokens)} tokens.")
        return self.tokens[number]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to ``path`` as JSON: all of it or, on an error, nothing.

        Raises:
            FileError: when the folder cannot be written to.
        """
        write_json(path, self.to_data())

    def to_data(self) -> dict[str, Any]:
        """The vocabulary as plain data, for a JSON file or for what a model carries."""
        return {"format": FORMAT, "unit": self.unit, "tokens": list(self.tokens)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read the vocabulary that `save` wrote to ``path``.

        Raises:
            FileError: (a ValueError) naming the file and what is wrong with it.
        """
        content = read_json(path)
        if file_kind(path) not in (FileKind.VOCABULARY, FileKind.JSON, FileKind.TEXT):
            raise foreign(path, "a vocabulary file")
        return cls.from_data(content, os.fspath(path))

    @classmethod
    def from_data(cls, content: Any, owner: str) -> Vocabulary:
        """What `to_data` gave; ``owner`` is where it is from, for messages.

        Raises:
            FileError: (a ValueError) naming the owner and what is wrong.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise FileError(f'{owner}: not a vocabulary file, which says "format": "{FORMAT}".')
        # The first files said nothing of a unit.
        tokens, unit = content.get("tokens"), content.get("unit", "word")
        problem = problem_with(tuple(tokens), unit) if isinstance(tokens, list) else "tokens is not a list"
        if problem:
            raise FileError(f"{owner}: not a valid vocabulary: {problem}.")
        return cls(tuple(content["tokens"]), unit)


def several(texts: Iterable[str]) -> Iterable[str]:
    """``texts``, which are more than one text.

    Raises:
        InputError: it is one.
    """
    # A string is an iterable of strings as well, its characters, and would pass unnoticed.
    if isinstance(texts, str):
        raise InputError("Expected several texts, got one; put it in a list.")
    return texts
