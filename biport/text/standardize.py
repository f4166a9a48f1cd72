"""What may be done to a text before it is divided; `biport.text.ids` does it."""

from __future__ import annotations

import string
from typing import Literal, get_args

from biport.text.ids import LOWER

Standardize = Literal["none", "lower", "strip_punctuation", "lower_and_strip_punctuation", "unicode_lower"]
STANDARDIZE: tuple[Standardize, ...] = get_args(Standardize)
OF_KERAS: tuple[Standardize, ...] = STANDARDIZE[:4]
"""Those that a ``TextVectorization`` has: letter by letter, as TensorFlow does it, of ASCII alone."""

Normalizer = Literal["nfc", "nfd", "nfkc", "nfkd", "lower", "strip_accents"]
NORMALIZERS: tuple[Normalizer, ...] = get_args(Normalizer)
"""Steps in front of that; ``"lower"`` is of every letter by itself, in any script."""

PUNCTUATION = string.punctuation
"""The marks of ASCII, which are those that Keras takes out."""


def lower_ascii(text: str) -> str:
    """``text`` with small letters for A to Z; all others stay as they are.

    Example:
        >>> lower_ascii("ÀB")
        'Àb'
    """
    return text.translate(LOWER)


def lowers(standardize: Standardize) -> bool:
    """Whether the large letters of ASCII become small ones."""
    return standardize in ("lower", "lower_and_strip_punctuation", "unicode_lower")


def strips(standardize: Standardize) -> bool:
    """Whether marks are taken out."""
    return standardize in ("strip_punctuation", "lower_and_strip_punctuation")
