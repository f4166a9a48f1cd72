"""From text to rows of token ids, and back."""

from __future__ import annotations

import json
import os
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biport.errors import FileError, InputError

PAD = "<pad>"
UNK = "<unk>"
PAD_ID = 0
UNK_ID = 1

Side = Literal["left", "right"]

_FORMAT = "biport-vocabulary-1"
_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Split ``text`` into lower-case words and single punctuation marks.

    A word is a run of letters, digits and underscores of any script; apostrophes inside it stay
    (``don't``), those around it are marks of their own, and the curly apostrophe counts as the straight
    one. Every other character that is not white space is a token by itself, so ``<pad>`` in a text gives
    three tokens and never the special one. Composed and decomposed accents give the same tokens, and
    tokens joined with spaces split into themselves again.
    """
    plain = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    return _TOKEN.findall(plain)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows; a token's place is its id.

    Args:
        tokens: all different; ``<pad>`` first (id 0) and ``<unk>`` second (id 1).

    Raises:
        InputError: for tokens that are not so.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        problem = _problem_with(self.tokens)
        if problem:
            raise InputError(f"A vocabulary cannot be made of these tokens: {problem}.")

    @classmethod
    def fit(cls, texts: Iterable[str], max_size: int | None = None) -> Vocabulary:
        """Collect the tokens of ``texts``, the most frequent first, ties in alphabetical order.

        Args:
            texts: any number of texts, none included.
            max_size: how many tokens to keep at most, the two special ones counted; ``None`` for all.

        Raises:
            InputError: for one text instead of several, or a ``max_size`` below 2.
        """
        if max_size is not None and max_size < 2:
            raise InputError(f"max_size={max_size}: the two special tokens alone need 2.")
        counts = Counter(token for text in _several(texts) for token in tokenize(text))
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls((PAD, UNK, *ranked)[:max_size])

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        """The id of every token of ``text``, 1 for those not in the vocabulary; never 0."""
        return [self._ids.get(token, UNK_ID) for token in tokenize(text)]

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
            truncating: the end of a long row that loses tokens.

        Raises:
            InputError: for one text instead of several, a length below 1, or an unknown end.
        """
        _check_layout(length, padding, truncating)
        rows = [self.encode(text) for text in _several(texts)]
        T = max([1, *map(len, rows)]) if length is None else length
        batch = np.full((len(rows), T), PAD_ID, dtype=np.int32)
        for target, ids in zip(batch, rows, strict=True):
            kept = ids[:T] if truncating == "right" else ids[-T:]
            start = 0 if padding == "right" else T - len(kept)
            target[start : start + len(kept)] = kept
        return batch

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens of ``ids``, of shape (T,), joined with spaces; padding is left out.

        Raises:
            InputError: for an id outside the vocabulary.
        """
        return " ".join(self._token(int(number)) for number in ids if number != PAD_ID)

    def _token(self, number: int) -> str:
        # A negative id would otherwise count from the end.
        if not 0 <= number < len(self.tokens):
            raise InputError(f"id {number} is not in this vocabulary of {len(self.tokens)} tokens.")
        return self.tokens[number]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to ``path`` as JSON: all of it or, on an error, nothing.

        Raises:
            OSError: when the folder cannot be written to.
        """
        target = Path(path)
        content = json.dumps({"format": _FORMAT, "tokens": self.tokens}, indent=1) + "\n"
        # Not `tempfile`: its files keep out everyone but their owner, even once renamed.
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            draft.write_text(content, encoding="utf-8")
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read the vocabulary that `save` wrote to ``path``.

        Raises:
            FileError: (a ValueError) naming the file and what is wrong with it.
        """
        content = _read_json(path)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise FileError(f'{os.fspath(path)}: not a vocabulary file, which says "format": "{_FORMAT}".')
        tokens = content.get("tokens")
        problem = _problem_with(tuple(tokens)) if isinstance(tokens, list) else "tokens is not a list"
        if problem:
            raise FileError(f"{os.fspath(path)}: not a valid vocabulary: {problem}.")
        return cls(tuple(content["tokens"]))


def _problem_with(tokens: tuple[Any, ...]) -> str:
    if not isinstance(tokens, tuple):
        return f"tokens is a {type(tokens).__name__}, not a tuple"
    for place, token in enumerate(tokens):
        if not isinstance(token, str):
            return f"token {place} is {token!r}, not text"
    if tokens[:2] != (PAD, UNK):
        return f"the first two tokens are not {PAD} and {UNK}"
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    return f"token {repeated[0]!r} is there more than once" if repeated else ""


def _several(texts: Iterable[str]) -> Iterable[str]:
    # A string is an iterable of strings as well, its characters, and would pass unnoticed.
    if isinstance(texts, str):
        raise InputError("Expected several texts, got one; put it in a list.")
    return texts


def _check_layout(length: int | None, padding: str, truncating: str) -> None:
    if length is not None and length < 1:
        raise InputError(f"length={length}: a row has at least 1 token.")
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("left", "right"):
            raise InputError(f'{name}={side!r}: it is "left" or "right".')


def _read_json(path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise FileError(f"{os.fspath(path)}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{os.fspath(path)}: not JSON: {error}.") from error
