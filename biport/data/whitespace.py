"""The tokeniser that fits into an ONNX graph: text divided at white space, and nowhere else."""

from __future__ import annotations

import re

from biport.data.vocabulary import UNK_ID, Vocabulary
from biport.text.standardize import lower_ascii

SEPARATORS = (" ", "\t", "\n", "\r")
"""What stands between tokens: blank, tab, line feed, carriage return."""

_BETWEEN = re.compile("[ \t\n\r]+")


def whitespace_tokens(text: str) -> list[str]:
    """Split ``text`` at `SEPARATORS`, the letters A to Z made small.

    Where `tokenize` differs: it takes marks off words (``good.`` is one token here, two there), makes small
    the letters of every script, composes accents, straightens apostrophes, and divides at every white space
    of Unicode, such as the no-break space.
    """
    return [token for token in _BETWEEN.split(lower_ascii(text)) if token]


def whitespace_ids(vocabulary: Vocabulary, text: str) -> list[int]:
    """The ids of `whitespace_tokens`: 1 for those not in the vocabulary; one 1 for a text without any.

    The special tokens are words like any other in a text: none of them is in the vocabulary.
    """
    known = {token: number for number, token in enumerate(vocabulary.tokens) if number > UNK_ID}
    return [known.get(token, UNK_ID) for token in whitespace_tokens(text)] or [UNK_ID]
