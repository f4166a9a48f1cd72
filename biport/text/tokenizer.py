"""A tokeniser as Keras' ``TextVectorization`` and ``StringLookup`` are one: exact, in Python alone."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from biport.errors import FileError, InputError, shown
from biport.text.standardize import STANDARDIZE, Standardize, standardized

Split = Literal["none", "whitespace", "character"]
SPLITS: tuple[Split, ...] = get_args(Split)

WHITESPACE = " \t\n\v\f\r"
"""What stands between tokens: no other blank of Unicode does."""

FORMAT = "biport-tokenizer-1"
"""Of the JSON that `Tokenizer.to_data` gives."""

LARGEST_NGRAM = 1_000

_BETWEEN = re.compile(f"[{WHITESPACE}]+")


@dataclass(frozen=True)
class Tokenizer:
    """Texts to ids: standardised, divided into tokens, joined to n-grams, and looked up.

    The id of a token of the vocabulary is its position and `first_id`; all others share `unknown_id`.

    Args:
        tokens: the vocabulary, without what stands for padding or for unknown tokens; all different.
        first_id: of the tokens.
        standardize: one of `STANDARDIZE`.
        split: ``"whitespace"`` or ``"character"``, of texts ``(N,)``; ``"none"`` of what is divided already,
            ``(N, T)``, or of texts each of which is one token, ``(N,)``.
        ngrams: how many tokens are joined, with blanks, into what is looked up: of each row all of the first
            number, then all of the next. Without any each token is looked up by itself.
        length: T, to which rows are cut or padded; ``None`` for the tokens of the longest row.
        unknown_id: ``None`` where an unknown token is an error.
        mask_token: the token whose id is `padding_id`; ``None`` for none.
        padding_id: behind short rows.
        source: the name of the model's input of texts.

    Raises:
        InputError: the settings do not go together.

    Source: keras/src/layers/preprocessing/text_vectorization.py and index_lookup.py of 3.15.

    Example:
        >>> tokenizer = Tokenizer(("good", "bad"), length=4)
        >>> tokenizer.encode_batch(["Good, not BAD!", ""]).tolist()
        [[2, 1, 3, 0], [0, 0, 0, 0]]
    """

    tokens: tuple[str, ...]
    first_id: int = 2
    standardize: Standardize = "lower_and_strip_punctuation"
    split: Split = "whitespace"
    ngrams: tuple[int, ...] = ()
    length: int | None = None
    unknown_id: int | None = 1
    mask_token: str | None = ""
    padding_id: int = 0
    source: str = field(default="text", compare=False)

    def __post_init__(self) -> None:
        problem = _problem_with(self)
        if problem:
            raise InputError(f"A tokeniser cannot be made of these settings: {problem}.")

    def __len__(self) -> int:
        """How many ids there are, those in front of the tokens included."""
        return self.first_id + len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        ids = {token: number for number, token in enumerate(self.tokens, self.first_id)}
        return ids if self.mask_token is None else {**ids, self.mask_token: self.padding_id}

    def split_text(self, text: str) -> list[str]:
        """What of ``text`` is looked up: its tokens, or their n-grams.

        Raises:
            InputError: it is no text that UTF-8 can encode.

        Example:
            >>> Tokenizer(("a",), ngrams=(1, 2)).split_text("A b\\tC.")
            ['a', 'b', 'c', 'a b', 'b c']
        """
        return self._joined(self._divided(self._standardized(text)))

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, padded or cut to `length` where there is one.

        Raises:
            InputError: it is no text that UTF-8 can encode, or has an unknown token where none may be.
        """
        return self._fitted([self._id(token) for token in self.split_text(text)])

    def encode_batch(self, texts: Iterable[Any]) -> NDArray[np.int64]:
        """The ids of ``texts``, of shape ``(N,)``, or ``(N, T)`` where `split` is ``"none"``.

        Returns:
            ``(N, T)``, a text a row; of texts ``(N,)`` that are one token each, ``(N,)``.

        Raises:
            InputError: as `encode`; or one text instead of several, or texts of another shape.
        """
        if isinstance(texts, str):
            raise InputError("Expected several texts, got one; put it in a list.")
        array = texts if isinstance(texts, np.ndarray) else _as_array(texts)
        if self.split != "none":
            if array.ndim == 2 and array.shape[1] == 1:
                array = array[:, 0]
            if array.ndim != 1:
                raise InputError(f"expected texts (N,), found shape {array.shape}")
            return self._padded([self.encode(text) for text in array])
        if array.ndim == 1 and not self.ngrams and self.length is None:
            return np.array([self._id(self._standardized(text)) for text in array], "int64")
        if array.ndim != 2:
            raise InputError(f"expected tokens (N, T), found shape {array.shape}")
        rows = [self._joined([self._standardized(text) for text in row]) for row in array]
        if not rows:
            return np.zeros((0, self.width(array.shape[1])), "int64")
        return self._padded([self._fitted([self._id(token) for token in row]) for row in rows])

    def width(self, steps: int) -> int:
        """How many ids there are of a row of ``steps`` tokens, those of n-grams counted."""
        sizes = self.ngrams or (1,)
        return sum(max(0, steps - size + 1) for size in sizes) if self.length is None else self.length

    def _standardized(self, text: Any) -> str:
        if not isinstance(text, str):
            raise InputError(f"expected texts, found {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"a text has a lone surrogate at {error.start}, which UTF-8 has not") from error
        return standardized(text, self.standardize)

    def _divided(self, text: str) -> list[str]:
        match self.split:
            case "whitespace":
                return [token for token in _BETWEEN.split(text) if token]
            case "character":
                return list(text)
            case _:
                return [text]

    def _joined(self, tokens: Sequence[str]) -> list[str]:
        if not self.ngrams:
            return [*tokens]
        return [
            " ".join(tokens[start : start + size])
            for size in self.ngrams
            for start in range(len(tokens) - size + 1)
        ]

    def _id(self, token: str) -> int:
        number = self._ids.get(token, self.unknown_id)
        if number is None:
            raise InputError(f"{token[:60]!r} is not in the vocabulary, and the model has no id for others")
        return number

    def _fitted(self, ids: list[int]) -> list[int]:
        if self.length is None:
            return ids
        return ids[: self.length] + [self.padding_id] * (self.length - len(ids))

    def _padded(self, rows: Sequence[list[int]]) -> NDArray[np.int64]:
        width = self.length if self.length is not None else max(map(len, rows), default=0)
        table = np.full((len(rows), width), self.padding_id, "int64")
        for line, row in zip(table, rows, strict=True):
            line[: len(row)] = row
        return table

    @property
    def summary(self) -> str:
        """What it does, for a person.

        Example:
            >>> Tokenizer(("good", "bad"), standardize="lower", ngrams=(1, 2), length=250).summary
            '2 tokens; lower, split at whitespace, n-grams of 1 and 2, cut or padded to 250'
        """
        steps = [] if self.standardize == "none" else [self.standardize]
        steps += [] if self.split == "none" else [f"split at {self.split}"]
        steps += [f"n-grams of {' and '.join(map(str, self.ngrams))}"] if self.ngrams else []
        steps += [] if self.length is None else [f"cut or padded to {self.length}"]
        return f"{len(self.tokens):,} tokens; {', '.join(steps) or 'each text is one'}"

    def to_data(self) -> dict[str, Any]:
        """The tokeniser as plain data, for a JSON file or for what a model carries."""
        settings = dataclasses.asdict(self)
        return {"format": FORMAT, **settings, "tokens": list(self.tokens), "ngrams": list(self.ngrams)}

    @staticmethod
    def from_data(content: Any, owner: str) -> Tokenizer:
        """What `to_data` gave; ``owner`` is where it is from, for messages.

        Raises:
            FileError: naming the owner and what is wrong.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise FileError(f'{owner}: not a tokeniser, which says "format": "{FORMAT}".')
        names = [one.name for one in dataclasses.fields(Tokenizer)]
        if sorted(content) != sorted(["format", *names]):
            raise FileError(f"{owner}: a tokeniser has the settings {', '.join(names)}.")
        settings = {name: content[name] for name in names}
        for name in ("tokens", "ngrams"):
            if not isinstance(settings[name], list):
                raise FileError(f"{owner}: {name} should be a list, found {shown(settings[name])}")
            settings[name] = tuple(settings[name])
        try:
            return Tokenizer(**settings)
        except InputError as error:
            raise FileError(f"{owner}: {error}") from error


def _as_array(texts: Iterable[Any]) -> np.ndarray:
    """Texts, or rows of tokens, as an array of Python's texts: NumPy's own cut what is zero behind them."""
    rows = list(texts)
    if not any(isinstance(row, list | tuple | np.ndarray) for row in rows):
        array = np.empty(len(rows), object)
        array[:] = rows
        return array
    widths = {len(row) if isinstance(row, list | tuple | np.ndarray) else -1 for row in rows}
    if len(widths) > 1:
        raise InputError("rows of tokens should be of one length")
    array = np.empty((len(rows), *widths), object)
    for line, row in zip(array, rows, strict=True):
        line[:] = row
    return array


def _problem_with(tokenizer: Tokenizer) -> str:
    if tokenizer.standardize not in STANDARDIZE:
        return f"standardize={tokenizer.standardize!r} is none of {', '.join(STANDARDIZE)}"
    if tokenizer.split not in SPLITS:
        return f"split={tokenizer.split!r} is none of {', '.join(SPLITS)}"
    for name in ("source", "mask_token"):
        text = getattr(tokenizer, name)
        if not isinstance(text, str) and not (text is None and name == "mask_token"):
            return f"{name} is {text!r}, not text"
    numbers = {
        "first_id": (tokenizer.first_id, 0),
        "padding_id": (tokenizer.padding_id, 0),
        "unknown_id": (0 if tokenizer.unknown_id is None else tokenizer.unknown_id, 0),
        "length": (1 if tokenizer.length is None else tokenizer.length, 1),
        **{f"ngrams[{index}]": (size, 1) for index, size in enumerate(tokenizer.ngrams)},
    }
    for name, (number, least) in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number < 2**31:
            return f"{name} should be a whole number of {least} or more, found {number!r}"
    if any(size > LARGEST_NGRAM for size in tokenizer.ngrams):
        return f"ngrams of more than {LARGEST_NGRAM} tokens"
    return _problem_with_tokens(tokenizer.tokens, tokenizer.mask_token)


def _problem_with_tokens(tokens: Sequence[Any], mask_token: str | None) -> str:
    for number, token in enumerate(tokens):
        if not isinstance(token, str):
            return f"token {number} is {token!r}, not text"
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    if repeated:
        return f"token {repeated[0]!r} is there more than once"
    return f"the mask token {mask_token!r} is in the vocabulary" if mask_token in tokens else ""
