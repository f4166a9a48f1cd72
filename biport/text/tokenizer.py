"""A tokeniser as those of Keras, Hugging Face and biport are one: exact, in Python alone."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from biport.errors import FileError, InputError, shown
from biport.text.ids import fitted, ids_of, known_ids, rows_of, tokens_of
from biport.text.standardize import NORMALIZERS, STANDARDIZE, Normalizer, Standardize

Split = Literal[
    "none",
    "whitespace",
    "character",
    "separator",
    "unicode_whitespace",
    "white_space_property",
    "words",
    "words_and_marks",
]
SPLITS: tuple[Split, ...] = get_args(Split)
OF_KERAS: tuple[Split, ...] = SPLITS[:3]
"""Those that a ``TextVectorization`` has."""

End = Literal["pre", "post"]
ENDS: tuple[End, ...] = get_args(End)
"""Of rows, in the words of Keras: in front of them, or behind."""

WHITESPACE = " \t\n\v\f\r"
"""What stands between the tokens of ``"whitespace"``: no other blank of Unicode does."""

FORMAT = "biport-tokenizer-1"
"""Of the JSON that `Tokenizer.to_data` gives."""

LARGEST_NGRAM = 1_000


@dataclass(frozen=True)
class Tokenizer:
    """Texts to ids: standardised, divided into tokens, joined to n-grams, and looked up.

    The id of a token of the vocabulary is its position and `first_id`; all others share `unknown_id`. What is
    done to a text, in this order: `added`, `normalizers`, `standardize`, `filters`, `split`, `ngrams`.

    Args:
        tokens: the vocabulary, without what stands for padding or for unknown tokens; all different.
        first_id: of the tokens.
        standardize: one of `STANDARDIZE`; ``"unicode_lower"`` is Python's ``str.lower``, the others are of
            ASCII alone.
        split: of texts ``(N,)`` one of `SPLITS`: ``"whitespace"``, that of ASCII, ``"unicode_whitespace"`` as
            Python's ``str.split`` has it, ``"white_space_property"`` as Unicode has it, ``"separator"``,
            ``"character"``, ``"words"``, those of `biport.data.tokenize`, in small letters, or
            ``"words_and_marks"``, runs of letters, digits and ``_``, and runs of what is neither these nor
            blank; ``"none"`` of what is divided already, ``(N, T)``, or of texts each of which is one token,
            ``(N,)``.
        ngrams: how many tokens are joined, with blanks, into what is looked up: of each row all of the first
            number, then all of the next. Without any each token is looked up by itself.
        length: T, to which rows are cut or padded; ``None`` for the tokens of the longest row.
        unknown_id: of tokens that are not known; ``None`` for none, see `unknown`.
        mask_token: the token whose id is `padding_id`; ``None`` for none.
        padding_id: what short rows are filled up with.
        source: the name of the model's input of texts.
        normalizers: of `NORMALIZERS`, steps in front of `standardize`.
        filters: characters each of which becomes `separator` before texts are divided.
        separator: what ``"separator"`` divides at, and `filters` become.
        unknown: what becomes of a token that is not known where `unknown_id` is ``None``.
        padding: the end of a short row that padding goes to.
        truncating: the end of a long row that loses tokens.
        max_length: to which rows are cut, and not padded; ``None`` where they are not.
        start: an id in front of every row, which no cut takes off.
        end: one behind it.
        ids: of the tokens, where they do not count from `first_id`.
        added: tokens that are cut out of a text before all else is done to it.

    Raises:
        InputError: the settings do not go together.

    Source: keras/src/layers/preprocessing/text_vectorization.py and index_lookup.py of 3.15;
        keras/src/legacy/preprocessing/text.py and keras/src/utils/sequence_utils.py for texts in the manner
        of its ``Tokenizer``; the ``tokenizers`` of Hugging Face, 0.23.

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
    normalizers: tuple[Normalizer, ...] = ()
    filters: str = ""
    separator: str = " "
    unknown: Literal["error", "drop"] = "error"
    padding: End = "post"
    truncating: End = "post"
    max_length: int | None = None
    start: int | None = None
    end: int | None = None
    ids: tuple[int, ...] = ()
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem_with(self)
        if problem:
            raise InputError(f"A tokeniser cannot be made of these settings: {problem}.")

    def __len__(self) -> int:
        """How many ids there are, those in front of the tokens included."""
        return max(self.ids) + 1 if self.ids else self.first_id + len(self.tokens)

    @property
    def largest_id(self) -> int:
        """The largest id that a text may have, that of padding included.

        Example:
            >>> Tokenizer(("good", "bad"), padding_id=9).largest_id
            9
        """
        others = (self.padding_id, self.unknown_id, self.start, self.end)
        return max(len(self) - 1 if self.tokens else 0, *(number for number in others if number is not None))

    @property
    def refuses(self) -> bool:
        """Whether an unknown token is an error."""
        return self.unknown_id is None and self.unknown == "error"

    @cached_property
    def known(self) -> Mapping[str, int]:
        """The id of each token that has one of its own, the mask token included."""
        return known_ids(self._settings)

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}

    def split_text(self, text: str) -> list[str]:
        """What of ``text`` is looked up: its tokens, or their n-grams.

        Raises:
            InputError: it is no text that UTF-8 can encode.

        Example:
            >>> Tokenizer(("a",), ngrams=(1, 2)).split_text("A b\\tC.")
            ['a', 'b', 'c', 'a b', 'b c']
        """
        return tokens_of(self._settings, _text(text))

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``, cut, and padded to `length` where there is one.

        Raises:
            InputError: it is no text that UTF-8 can encode, or has an unknown token where none may be.
        """
        return fitted(self._settings, self._ids(_text(text)))

    def steps(self, text: str) -> list[str | None]:
        """The token of each id of `encode`: ``None`` for padding, and for what stands at the ends.

        Raises:
            InputError: as `encode`.

        Example:
            >>> Tokenizer(("good",), length=3, padding="pre", start=9).steps("So good")
            [None, 'so', 'good']
            >>> Tokenizer(("good",), unknown_id=None, unknown="drop", length=3).steps("So good")
            ['good', None, None]
        """
        tokens = self.split_text(text)
        if self.unknown_id is None:
            self._ids(text)
            tokens = [token for token in tokens if token in self.known]
        # What is done to ids is done to tokens, as often as there are any.
        ends = {name: None if getattr(self, name) is None else _NO_TOKEN for name in ("start", "end")}
        laid: list[Any] = fitted({**self._settings, **ends, "padding_id": _NO_TOKEN}, tokens)  # type: ignore[arg-type]
        return [None if token is _NO_TOKEN else token for token in laid]

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
            return self._table([self._ids(_text(text)) for text in array], self.length or 0)
        if array.ndim == 1 and not self.ngrams and self.length is None:
            return np.array([self._ids(_text(text))[0] for text in array], "int64")
        if array.ndim != 2:
            raise InputError(f"expected tokens (N, T), found shape {array.shape}")
        rows = [self._ids([_text(text) for text in row]) for row in array]
        return self._table(rows, self.width(array.shape[1]))

    def width(self, steps: int) -> int:
        """How many ids there are of a row of ``steps`` tokens, those of n-grams counted."""
        if self.length is not None:
            return self.length
        ends = sum(number is not None for number in (self.start, self.end))
        width = ends + sum(max(0, steps - size + 1) for size in self.ngrams or (1,))
        return width if self.max_length is None else min(width, self.max_length)

    def _ids(self, given: str | Sequence[str]) -> list[int]:
        try:
            return ids_of(self._settings, self.known, given)
        except ValueError as error:
            raise InputError(str(error)) from error

    def _table(self, rows: Sequence[list[int]], width: int) -> NDArray[np.int64]:
        """Rows of ids, neither cut nor padded, as one array; ``width`` is that of no rows."""
        return np.array(rows_of(self._settings, rows), "int64") if rows else np.zeros((0, width), "int64")

    @property
    def summary(self) -> str:
        """What it does, for a person.

        Example:
            >>> Tokenizer(("good", "bad"), standardize="lower", ngrams=(1, 2), length=250).summary
            '2 tokens; lower, split at whitespace, n-grams of 1 and 2, cut or padded to 250'
        """
        steps = [*self.normalizers, *([] if self.standardize == "none" else [self.standardize])]
        steps += [f"{len(self.filters)} characters filtered"] if self.filters else []
        steps += [] if self.split == "none" else [f"split at {self.split}"]
        steps += [f"n-grams of {' and '.join(map(str, self.ngrams))}"] if self.ngrams else []
        steps += ["unknown ones dropped"] if self.unknown_id is None and not self.refuses else []
        steps += [] if self.max_length is None else [f"cut to {self.max_length}"]
        steps += [] if self.length is None else [f"cut or padded to {self.length}"]
        ends = {"padded": self.padding, "cut": self.truncating}
        steps += [f"{what} in front" for what, end in ends.items() if end == "pre"]
        return f"{len(self.tokens):,} tokens; {', '.join(steps) or 'each text is one'}"

    def to_data(self) -> dict[str, Any]:
        """The tokeniser as plain data, for a JSON file or for what a model carries."""
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return {"format": FORMAT, **self._settings, **lists}

    @staticmethod
    def from_data(content: Any, owner: str) -> Tokenizer:
        """What `to_data` gave; ``owner`` is where it is from, for messages.

        Settings that are not there are as they are by default: earlier versions had fewer.

        Raises:
            FileError: naming the owner and what is wrong.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise FileError(f'{owner}: not a tokeniser, which says "format": "{FORMAT}".')
        names = [one.name for one in dataclasses.fields(Tokenizer)]
        if not {"tokens"} <= content.keys() - {"format"} <= {*names}:
            raise FileError(f"{owner}: a tokeniser has the settings {', '.join(names)}.")
        settings = {name: value for name, value in content.items() if name != "format"}
        for name in _LISTS & settings.keys():
            if not isinstance(settings[name], list):
                raise FileError(f"{owner}: {name} should be a list, found {shown(settings[name])}")
            settings[name] = tuple(settings[name])
        try:
            return Tokenizer(**settings)
        except InputError as error:
            raise FileError(f"{owner}: {error}") from error


_NO_TOKEN: Any = object()
"""What a step is that no token is of."""
_LISTS = frozenset({"tokens", "ngrams", "normalizers", "ids", "added"})


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise InputError(f"expected texts, found {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a text has a lone surrogate at {error.start}, which UTF-8 has not") from error
    return text


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
    words = {
        "standardize": STANDARDIZE,
        "split": SPLITS,
        "unknown": ("error", "drop"),
        "padding": ENDS,
        "truncating": ENDS,
    }
    for name, choices in words.items():
        if getattr(tokenizer, name) not in choices:
            return f"{name}={getattr(tokenizer, name)!r} is none of {', '.join(choices)}"
    for step in tokenizer.normalizers:
        if step not in NORMALIZERS:
            return f"normalizers={step!r} is none of {', '.join(NORMALIZERS)}"
    for name in ("source", "mask_token", "filters", "separator"):
        text = getattr(tokenizer, name)
        if not isinstance(text, str) and not (text is None and name == "mask_token"):
            return f"{name} is {text!r}, not text"
    if tokenizer.split == "separator" and not tokenizer.separator:
        return "separator is empty, and texts are to be divided at it"
    if tokenizer.split == "none" and tokenizer.added:
        return "tokens are added to what is divided already"
    return (
        _problem_with_numbers(tokenizer)
        or _problem_with_tokens(tokenizer.tokens, tokenizer.mask_token)
        or _problem_with_added(tokenizer)
    )


def _problem_with_numbers(tokenizer: Tokenizer) -> str:
    optional = {"unknown_id": 0, "length": 1, "max_length": 1, "start": 0, "end": 0}
    numbers = {
        "first_id": (tokenizer.first_id, 0),
        "padding_id": (tokenizer.padding_id, 0),
        **{name: (getattr(tokenizer, name), least) for name, least in optional.items()},
        **{f"ngrams[{index}]": (size, 1) for index, size in enumerate(tokenizer.ngrams)},
        **{f"ids[{index}]": (number, 0) for index, number in enumerate(tokenizer.ids)},
    }
    for name, (number, least) in numbers.items():
        if number is None and name in optional:
            continue
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number < 2**31:
            return f"{name} should be a whole number of {least} or more, found {number!r}"
    if any(size > LARGEST_NGRAM for size in tokenizer.ngrams):
        return f"ngrams of more than {LARGEST_NGRAM} tokens"
    if tokenizer.ids and len(tokenizer.ids) != len(tokenizer.tokens):
        return f"{len(tokenizer.ids)} ids of {len(tokenizer.tokens)} tokens"
    ends = sum(number is not None for number in (tokenizer.start, tokenizer.end))
    for size in (tokenizer.length, tokenizer.max_length):
        if size is not None and size < ends:
            return f"rows of {size} have no room for the {ends} ids at their ends"
    return ""


def _problem_with_added(tokenizer: Tokenizer) -> str:
    for token in tokenizer.added:
        if not isinstance(token, str) or not token or token not in tokenizer.tokens:
            return f"the added token {token!r} is not in the vocabulary"
    return ""


def _problem_with_tokens(tokens: Sequence[Any], mask_token: str | None) -> str:
    for number, token in enumerate(tokens):
        if not isinstance(token, str):
            return f"token {number} is {token!r}, not text"
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    if repeated:
        return f"token {repeated[0]!r} is there more than once"
    return f"the mask token {mask_token!r} is in the vocabulary" if mask_token in tokens else ""
