"""Where an ONNX file is to run: its versions, and sizes that are fixed."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

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


def where_it_runs(
    opset: int | None,
    ir_version: int | None,
    runtime: str | None,
    fix_batch: int | None,
    fix_length: str | None,
) -> dict[str, Any]:
    """The options of `export.write` that were asked for.

    Raises:
        InputError: a length is no number.

    Example:
        >>> where_it_runs(None, None, "1.16", None, "T=40,T_2=30")
        {'runtime': '1.16', 'fix_length': {'T': 40, 'T_2': 30}}
    """
    length = None if fix_length is None else _lengths(fix_length)
    asked = {
        "opset": opset,
        "ir_version": ir_version,
        "runtime": runtime,
        "fix_batch": fix_batch,
        "fix_length": length,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _lengths(text: str) -> int | dict[str, int]:
    if re.fullmatch(r"\d+", text):
        return int(text)
    parts = [re.fullmatch(r"\s*(\w+)=(\d+)\s*", part) for part in text.split(",")]
    named = {part[1]: int(part[2]) for part in parts if part is not None}
    if len(named) < len(parts):
        raise InputError(Argument("fix_length", text), ": should be a number, or T=40,T_2=30")
    return named
