"""Options of commands about CTC models: what spells their texts."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from biport.app.cli.added import Given, add_options
from biport.app.cli.app import Result

CTC = "Texts by CTC"
"""The group of these options in the help."""


class ScoresOption(StrEnum):
    """What the numbers of a step are."""

    PROBABILITIES = "probabilities"
    LOG_PROBABILITIES = "log_probabilities"
    LOGITS = "logits"


Blank = Annotated[
    str | None,
    typer.Option(
        "--ctc",
        help="The class of the blank: last (as Keras' examples have it; the default), first (torch), or a "
        "number.",
        metavar="BLANK",
        rich_help_panel=CTC,
    ),
]
Characters = Annotated[
    str | None,
    typer.Option(
        "--characters",
        help="What the other classes are called, in order: the letters of a text, or a file with one a line "
        "or a list in JSON, such as a StringLookup's vocabulary. It travels with what is written.",
        metavar="FILE_OR_TEXT",
        rich_help_panel=CTC,
    ),
]
ScoresOf = Annotated[
    ScoresOption | None,
    typer.Option(
        "--scores",
        help="What the numbers of a step are, where the model does not tell.",
        rich_help_panel=CTC,
    ),
]

BeamWidth = Annotated[
    int | None,
    typer.Option(
        "--beam-width",
        min=1,
        max=1000,
        help="Read texts by a beam search that keeps so many prefixes; greedily with 1, and by default.",
        rich_help_panel=CTC,
    ),
]


def takes_characters(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command these options; it is handed what they say as its ``ctc_options``."""

    def gather(added: Given, given: Given) -> None:
        from biport.app.ctc import CtcOptions

        scores = added["scores"]
        given["ctc_options"] = CtcOptions(added["ctc"], added["characters"], scores and scores.value)

    options = {"ctc": Blank, "characters": Characters, "scores": ScoresOf}
    return add_options(function, options, gather, ["ctc_options"])
