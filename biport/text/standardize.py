"""What is done to a text before it is divided, letter by letter as TensorFlow does it."""

from __future__ import annotations

import string
from typing import Literal, get_args

Standardize = Literal["none", "lower", "strip_punctuation", "lower_and_strip_punctuation"]
STANDARDIZE: tuple[Standardize, ...] = get_args(Standardize)

PUNCTUATION = string.punctuation
"""The marks of ASCII, which are those that Keras takes out."""

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_STRIP = str.maketrans("", "", PUNCTUATION)


def lower_ascii(text: str) -> str:
    """``text`` with small letters for A to Z; all others stay as they are.

    Example:
        >>> lower_ascii("ÀB")
        'Àb'
    """
    return text.translate(_LOWER)


def lowers(standardize: Standardize) -> bool:
    """Whether large letters become small ones."""
    return standardize in ("lower", "lower_and_strip_punctuation")


def strips(standardize: Standardize) -> bool:
    """Whether marks are taken out."""
    return standardize in ("strip_punctuation", "lower_and_strip_punctuation")


def standardized(text: str, standardize: Standardize) -> str:
    """``text`` as it is divided.

    Source: keras/src/layers/preprocessing/text_vectorization.py of 3.15, ``_preprocess``, by way of
        ``tf.strings.lower`` without an encoding and ``tf.strings.regex_replace``.

    Example:
        >>> standardized("Don't STOP!", "lower_and_strip_punctuation")
        'dont stop'
    """
    text = lower_ascii(text) if lowers(standardize) else text
    return text.translate(_STRIP) if strips(standardize) else text
