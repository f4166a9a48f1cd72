"""Options of commands about texts: what makes ids of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from biport.app.texts import TextOptions

TEXTS = "Texts"
"""The group of these options in the help."""


class End(StrEnum):
    """Of a row: its front, or its back."""

    PRE = "pre"
    POST = "post"


class Standardize(StrEnum):
    """What is done to texts, see `biport.text.Tokenizer`."""

    NONE = "none"
    LOWER = "lower"
    STRIP_PUNCTUATION = "strip_punctuation"
    LOWER_AND_STRIP_PUNCTUATION = "lower_and_strip_punctuation"
    UNICODE_LOWER = "unicode_lower"


class Split(StrEnum):
    """How they are divided; the ways that need nothing else to be said."""

    WHITESPACE = "whitespace"
    CHARACTER = "character"
    UNICODE_WHITESPACE = "unicode_whitespace"
    WHITE_SPACE_PROPERTY = "white_space_property"
    WORDS = "words"
    WORDS_AND_MARKS = "words_and_marks"


VocabularyFile = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary",
        help="What makes ids of texts: tokenizer.json of Keras (its pickle too, which is not run) or of "
        "Hugging Face, of word level; vocabulary.txt of a TextVectorization; itos, stoi or vocab.txt; or "
        "biport's own. That of a folder of biport is known.",
        metavar="FILE",
        rich_help_panel=TEXTS,
    ),
]
StandardizeOption = Annotated[
    Standardize | None,
    typer.Option(
        "--standardize",
        help="What is done to texts, for a vocabulary of tokens alone.",
        rich_help_panel=TEXTS,
    ),
]
SplitOption = Annotated[
    Split | None,
    typer.Option("--split", help="How texts are divided, for the same.", rich_help_panel=TEXTS),
]
Maxlen = Annotated[
    int | None,
    typer.Option("--maxlen", min=1, help="Tokens to which texts are cut and padded.", rich_help_panel=TEXTS),
]
Padding = Annotated[
    End | None,
    typer.Option("--padding", help="The end of a short text that is padded.", rich_help_panel=TEXTS),
]
Truncating = Annotated[
    End | None,
    typer.Option("--truncating", help="The end of a long text that is cut off.", rich_help_panel=TEXTS),
]
PaddingId = Annotated[
    int | None,
    typer.Option(
        "--padding-id", min=0, help="The id that short texts are padded with.", rich_help_panel=TEXTS
    ),
]


def text_options(
    vocabulary: Path | None,
    standardize: Standardize | None,
    split: Split | None,
    maxlen: int | None,
    padding: End | None,
    truncating: End | None,
    padding_id: int | None,
) -> TextOptions:
    """What was said, as the program has it."""
    from biport.app.texts import TextOptions

    words = {"standardize": standardize, "split": split, "padding": padding, "truncating": truncating}
    plain = {name: None if word is None else word.value for name, word in words.items()}
    return TextOptions(vocabulary, maxlen=maxlen, padding_id=padding_id, **plain)  # type: ignore[arg-type]
