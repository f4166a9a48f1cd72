"""Options about tokenisers in an ONNX graph."""

from __future__ import annotations

from typing import Annotated

import typer

from biport.app.cli.text_options import TEXTS

EmbedTokenizer = Annotated[
    bool,
    typer.Option(
        "--embed-tokenizer",
        help="Let the file take strings: the tokeniser as nodes of the graph.",
        rich_help_panel=TEXTS,
    ),
]
RefuseCharacters = Annotated[
    bool,
    typer.Option(
        "--refuse-characters",
        help="With it: where ONNX has no operators for some letters, an error for texts that have them.",
        rich_help_panel=TEXTS,
    ),
]
