"""The options and arguments that several commands share: one name for one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

INPUT, OUTPUT = "Input", "Output"
"""Groups of options in the help."""


def output_option(help: str, **more: Any) -> Any:
    """``-o``, ``--output``: where to."""
    return typer.Option("-o", "--output", help=help, rich_help_panel=OUTPUT, **more)


def input_option(help: str) -> Any:
    """``--input``: the data that a model is run on."""
    return typer.Option("--input", help=help, rich_help_panel=INPUT)


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document instead of text.", rich_help_panel=OUTPUT),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace the output if it is there already.", rich_help_panel=OUTPUT),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The model.to_json() that goes with an .h5 file of weights alone.",
        metavar="JSON",
        rich_help_panel=INPUT,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(help="A .keras or .h5 file of any Keras, or a bundle folder.", metavar="MODEL"),
]
Verified = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify", help="Try what is written; what differs is not kept.", rich_help_panel=OUTPUT
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")]
Device = Annotated[
    str, typer.Option("--device", help="cpu or cuda; where a model is run, auto takes cuda if it is there.")
]
