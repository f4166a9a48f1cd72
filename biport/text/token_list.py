"""Vocabularies that are tokens and their ids, and say nothing of how texts are divided into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport.errors import Argument, FileError, InputError, shown
from biport.text.numbered import numbered
from biport.text.standardize import STANDARDIZE, Standardize
from biport.text.tokenizer import SPLITS, Split, Tokenizer

PADDING = ("<pad>", "[PAD]", "<PAD>", "[pad]", "_PAD_", "<blank>")
UNKNOWN = ("<unk>", "[UNK]", "<UNK>", "[unk]", "_UNK_", "<oov>", "<OOV>", "[OOV]")
"""What stands for padding, and for unknown tokens, where a list has names for these."""

COUNTS = ("freqs", "vectors", "specials", "unk_index", "default_index")
"""What a vocabulary of torchtext has besides, which makes no ids of texts."""

_SPLITS = tuple(split for split in SPLITS if split not in ("none", "separator"))


def of_tokens(
    ids: Mapping[str, int],
    owner: str,
    standardize: Standardize | None,
    split: Split | None,
    padding_id: int | None = None,
) -> Tokenizer:
    """The tokeniser of tokens and their ids.

    Those for padding and for unknown tokens are known by their names, `PADDING` and `UNKNOWN`; without one
    for unknown tokens, these are an error.

    Raises:
        InputError: nobody says how texts are divided; or nothing says what rows are padded with.
        FileError: the tokens do not go together.

    Example:
        >>> of_tokens({"<unk>": 0, "<pad>": 1, "Good": 2}, "ids", "none", "whitespace").encode("Good one")
        [2, 0]
    """
    if split is None or standardize is None:
        raise InputError(
            f"{owner}: has tokens alone, and does not say how texts become such; say ",
            Argument("standardize", "..."),
            f", one of {', '.join(STANDARDIZE)}, and ",
            Argument("split", "..."),
            f", one of {', '.join(_SPLITS)}",
        )
    named = next((ids[name] for name in PADDING if name in ids), None)
    padding = named if padding_id is None else padding_id
    if padding is None and 0 in ids.values():
        raise InputError(
            f"{owner}: has no token for padding, such as {PADDING[0]} or {PADDING[1]}, and 0 is the id of "
            "another: say ",
            Argument("padding_id", "..."),
        )
    return numbered(
        ids,
        owner,
        standardize=standardize,
        split=split,
        unknown_id=next((ids[name] for name in UNKNOWN if name in ids), None),
        padding_id=padding or 0,
    )


def of_text_vectorization(
    tokens: Sequence[str], owner: str, standardize: Standardize | None, split: Split | None
) -> Tokenizer:
    """The tokeniser of a ``TextVectorization`` by its vocabulary, which begins with ``""`` and ``[UNK]``.

    The layer's own settings are not in that: without others they are the layer's defaults.

    Raises:
        FileError: the tokens do not go together.
    """
    try:
        return Tokenizer(
            tuple(tokens[2:]),
            standardize=standardize or "lower_and_strip_punctuation",
            split=split or "whitespace",
        )
    except InputError as error:
        raise FileError(f"{owner}: {error}") from error


def is_text_vectorization(tokens: Sequence[Any]) -> bool:
    """Whether tokens are what the layer's ``get_vocabulary`` gives, and its ``vocabulary.txt`` has."""
    return list(tokens[:2]) == ["", "[UNK]"]


def listed(content: Any, owner: str) -> list[str] | dict[str, int] | None:
    """Tokens in order, or with their ids, where JSON has such; ``None`` where it is something else.

    Known are a list, a mapping of tokens to ids or of ids to tokens, and a mapping with one of these as
    ``itos`` or ``stoi``.

    Raises:
        FileError: a list with something else in it.
        UnsupportedError: a mapping has more than the tokens.
    """
    if isinstance(content, list):
        if not all(isinstance(token, str) for token in content):
            raise FileError(f"{owner}: should be a list of tokens, found {shown(content)}")
        return content
    if not isinstance(content, Mapping) or not content:
        return None
    names = [name for name in ("stoi", "itos") if name in content]
    if names and content.keys() <= {*names, *COUNTS}:
        return listed(content[names[0]], f"{owner}: {names[0]}")
    if all(type(number) is int and number >= 0 for number in content.values()):
        return dict(content)
    if all(isinstance(token, str) for token in content.values()) and all(map(_is_number, content)):
        return {token: int(number) for number, token in content.items()}
    return None


def _is_number(text: Any) -> bool:
    return isinstance(text, int) or (isinstance(text, str) and text.isascii() and text.isdigit())


def lines(data: bytes, owner: str) -> list[str]:
    """The tokens of a ``vocab.txt``, a line each.

    Raises:
        FileError: it is not in UTF-8, or a line has several columns, or none.
    """
    try:
        rows = data.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise FileError(f"{owner}: is not text in UTF-8: {error}") from error
    for number, row in enumerate(rows, 1):
        if "\t" in row:
            raise FileError(f"{owner}: line {number}: has several columns, expected one token")
        if not row and not (number == 1 and is_text_vectorization(rows)):
            raise FileError(f"{owner}: line {number}: is empty, expected a token")
    return rows
