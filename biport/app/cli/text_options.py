"""Options of commands about texts: what makes ids of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.cli.added import Given, add_options
from biport.app.cli.app import Result

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


def takes_texts(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command these options; it is handed what they say as its ``text_options``."""
    options = {
        "vocabulary": VocabularyFile,
        "standardize": StandardizeOption,
        "split": SplitOption,
        "maxlen": Maxlen,
        "padding": Padding,
        "truncating": Truncating,
        "padding_id": PaddingId,
    }

    def gather(added: Given, given: Given) -> None:
        from biport.app.texts import TextOptions

        plain: dict[str, Any] = {
            name: one.value if isinstance(one, StrEnum) else one for name, one in added.items()
        }
        given["text_options"] = TextOptions(**plain)

    return add_options(function, options, gather, ["text_options"])
