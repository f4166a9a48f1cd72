"""Where an ONNX file is to run: its versions, and sizes that are fixed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import typer

from biport.app.cli.added import Given, add_options
from biport.app.cli.app import Result
from biport.errors import Argument, InputError

RUNS_ON = "Where it runs"
"""The group of options in the help."""
OpsetOption = Annotated[
    int | None,
    typer.Option(
        "--opset", help="Of the operators, 15 to 23; 18 by default, 20 with texts.", rich_help_panel=RUNS_ON
    ),
]
IrOption = Annotated[
    int | None,
    typer.Option(
        "--ir", help="Version of the format; by default the oldest with all of it.", rich_help_panel=RUNS_ON
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="The onnxruntime that is to run the file, such as 1.16: its versions, without its faults.",
        metavar="RELEASE",
        rich_help_panel=RUNS_ON,
    ),
]
FixBatchOption = Annotated[
    int | None,
    typer.Option(
        "--fix-batch", min=1, help="Rows of every batch, a number in the file.", rich_help_panel=RUNS_ON
    ),
]
FixLengthOption = Annotated[
    str | None,
    typer.Option(
        "--fix-length",
        help="Steps, a number in the file; of several inputs by letters, T=40,T_2=30.",
        metavar="T",
        rich_help_panel=RUNS_ON,
    ),
]


def takes_runtime(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command these options; what was asked for of `export.write` is handed to it as ``runs_on``."""
    options = {
        "opset": OpsetOption,
        "ir_version": IrOption,
        "runtime": RuntimeOption,
        "fix_batch": FixBatchOption,
        "fix_length": FixLengthOption,
    }

    def gather(added: Given, given: Given) -> None:
        asked = {name: value for name, value in added.items() if value is not None}
        if "fix_length" in asked:
            asked["fix_length"] = _lengths(asked["fix_length"])
        given["runs_on"] = asked

    return add_options(function, options, gather, ["runs_on"])


def _lengths(text: str) -> int | dict[str, int]:
    """Steps as numbers.

    Raises:
        InputError: they are none.

    Example:
        >>> _lengths("40"), _lengths("T=40,T_2=30")
        (40, {'T': 40, 'T_2': 30})
    """
    if re.fullmatch(r"\d+", text):
        return int(text)
    parts = [re.fullmatch(r"\s*(\w+)=(\d+)\s*", part) for part in text.split(",")]
    named = {part[1]: int(part[2]) for part in parts if part is not None}
    if len(named) < len(parts):
        raise InputError(Argument("fix_length", text), ": should be a number, or T=40,T_2=30")
    return named
