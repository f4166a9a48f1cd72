"""A vocabulary that numbers its tokens itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport.errors import FileError, InputError
from biport.text.tokenizer import Tokenizer


def numbered(ids: Mapping[str, int], owner: str, **settings: Any) -> Tokenizer:
    """A tokeniser of tokens and their ids, by these in order; without a mask token.

    Raises:
        FileError: they do not go together, or with the settings.

    Example:
        >>> numbered({"b": 4, "a": 3}, "ids", unknown_id=0).encode("a b c")
        [3, 4, 0]
    """
    ranked = sorted(ids, key=lambda token: ids[token])
    numbers = tuple(ids[token] for token in ranked)
    first = numbers[0] if numbers else 0
    counts = numbers == tuple(range(first, first + len(numbers)))
    try:
        return Tokenizer(
            tuple(ranked), first_id=first, ids=() if counts else numbers, mask_token=None, **settings
        )
    except InputError as error:
        raise FileError(f"{owner}: {error}") from error
