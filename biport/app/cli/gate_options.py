"""The options of gates: what a figure should keep, what it is measured on, and where the results go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.cli.options import INPUT, OUTPUT

GATES = "Gates"
"""The group of these options in the help: exit code 1 where one is missed."""


def gate_option(name: str, help: str, **more: Any) -> Any:
    """A limit."""
    return typer.Option(name, help=help, rich_help_panel=GATES, **more)


Tolerance = Annotated[
    float | None,
    gate_option("--tolerance", "The most that any number may be off, absolute.", metavar="NUMBER"),
]
MinAgreement = Annotated[
    float | None,
    gate_option(
        "--min-agreement",
        "The least share of rows, or steps, with the source's label; ties count as the same.",
        metavar="SHARE",
    ),
]
ExpectedFile = Annotated[
    Path | None,
    gate_option(
        "--expected",
        "What your own pipeline gave for the rows of --input: .npz by output, .npy, .csv or .tsv.",
        metavar="FILE",
    ),
]
JUnitFile = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        help="An .xml file of the results, in JUnit's format.",
        metavar="FILE",
        rich_help_panel=OUTPUT,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="The column or key of the texts.", metavar="NAME", rich_help_panel=INPUT),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="The column, key or array of the labels: names of classes, or their numbers.",
        metavar="NAME",
        rich_help_panel=INPUT,
    ),
]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="What the classes are called, with commas between, where no model says it.",
        metavar="A,B",
        rich_help_panel=INPUT,
    ),
]


def class_names(text: str | None) -> Sequence[str] | None:
    """The names that ``--labels`` gives."""
    return None if text is None else [name.strip() for name in text.split(",")]
