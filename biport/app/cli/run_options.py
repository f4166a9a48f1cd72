"""The options of what is run: where texts come from, what becomes of them, what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biport.app.cli.options import INPUT, OUTPUT

TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="The column or key of the texts.", metavar="NAME", rich_help_panel=INPUT),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="What the input is where its name does not say it: txt, csv, tsv or jsonl.",
        metavar="FORMAT",
        rich_help_panel=INPUT,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        help="What stands between the fields of a table, such as ';'.",
        metavar="MARK",
        rich_help_panel=INPUT,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="The column that names the rows in the output; their numbers do otherwise.",
        metavar="NAME",
        rich_help_panel=OUTPUT,
    ),
]
Truncate = Annotated[
    bool,
    typer.Option(
        "--truncate",
        help="Cut the end off texts that are longer than a model of fixed length takes.",
        rich_help_panel=INPUT,
    ),
]
SkipBad = Annotated[
    Path | None,
    typer.Option(
        "--skip-bad",
        help="A .csv, .tsv or .jsonl for rows that cannot be read or run; without, the first is an error.",
        metavar="FILE",
        rich_help_panel=OUTPUT,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on behind the rows that an earlier run has written.",
        rich_help_panel=OUTPUT,
    ),
]
LANGUAGES = "Texts of a decoder"
"""The group of options that say what a decoder reads and writes."""
SourceVocabulary = Annotated[
    Path | None,
    typer.Option(
        "--source-vocabulary",
        help="How ids are made of what is read, where the model does not bring it: any file that export "
        "--vocabulary takes.",
        metavar="FILE",
        rich_help_panel=LANGUAGES,
    ),
]
TargetVocabulary = Annotated[
    Path | None,
    typer.Option(
        "--target-vocabulary",
        help="The same of what is written.",
        metavar="FILE",
        rich_help_panel=LANGUAGES,
    ),
]
StartToken = Annotated[
    str | None,
    typer.Option(
        "--start",
        help="The token that every target begins with, such as startseq.",
        metavar="TOKEN",
        rich_help_panel=LANGUAGES,
    ),
]
EndToken = Annotated[
    str | None,
    typer.Option(
        "--end",
        help="The token that ends it, such as endseq.",
        metavar="TOKEN",
        rich_help_panel=LANGUAGES,
    ),
]
AsDecoder = Annotated[
    bool,
    typer.Option(
        "--decoder",
        help="Write a sequence-to-sequence model as an encoder and a step: a folder for biport translate.",
        rich_help_panel="ONNX",
    ),
]
