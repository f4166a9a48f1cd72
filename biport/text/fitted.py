"""The vocabularies that biport fits, `biport.data.Vocabulary`, as tokenisers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from biport.text.tokenizer import Tokenizer

PAD, UNK, START, END = "<pad>", "<unk>", "<start>", "<end>"
PAD_ID, UNK_ID, START_ID, END_ID = range(4)

Unit = Literal["word", "character"]

FORMAT = "biport-vocabulary-1"
"""Of the JSON that they are saved as."""


def has_ends(tokens: Sequence[str]) -> bool:
    """Whether an encoded text stands between `START` and `END`."""
    return tuple(tokens[2:4]) == (START, END)


def tokenizer_of(tokens: Sequence[str], unit: Unit, source: str = "text") -> Tokenizer:
    """The tokeniser of a vocabulary whose tokens are numbered as they stand.

    Args:
        tokens: `PAD` and `UNK` first, then `START` and `END` where texts stand between those.
        unit: what a token is.
        source: the name of the model's input of texts.

    Example:
        >>> tokenizer_of((PAD, UNK, "good"), "word").encode_batch(["Good!", ""]).tolist()
        [[2, 1], [0, 0]]
    """
    ends = has_ends(tokens)
    first = END_ID + 1 if ends else UNK_ID + 1
    return Tokenizer(
        tuple(tokens[first:]),
        first_id=first,
        standardize="none",
        split="words" if unit == "word" else "character",
        unknown_id=UNK_ID,
        mask_token=None,
        padding_id=PAD_ID,
        start=START_ID if ends else None,
        end=END_ID if ends else None,
        source=source,
    )


def problem_with(tokens: Any, unit: Any) -> str:
    """Why tokens are no vocabulary; empty where they are one."""
    if unit not in ("word", "character"):
        return f'unit={unit!r} is neither "word" nor "character"'
    if not isinstance(tokens, tuple):
        return f"tokens is a {type(tokens).__name__}, not a tuple"
    for number, token in enumerate(tokens):
        if not isinstance(token, str):
            return f"token {number} is {token!r}, not text"
    if tokens[:2] != (PAD, UNK):
        return f"the first two tokens are not {PAD} and {UNK}"
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    return f"token {repeated[0]!r} is there more than once" if repeated else ""
