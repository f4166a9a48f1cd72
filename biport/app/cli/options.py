"""The options and arguments that several commands share: one name for one thing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.source import Source


class KeptStates(StrEnum):
    """What is read of the states that stateful layers keep, see `keras_side.read`."""

    EXPLICIT = "explicit"
    ZERO = "zero"


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
CodeFile = Annotated[
    Path | None,
    typer.Option(
        "--code",
        help="The Python file with the custom layers of a .keras or .h5 file, which is imported and run; a "
        "function in it that is called as a Lambda layer stands for that one's.",
        metavar="PY",
        rich_help_panel=INPUT,
    ),
]
Extensions = Annotated[
    list[Path] | None,
    typer.Option(
        "--extend",
        help="A Python file that says what custom classes are in known ops (docs/extend.md); it is imported "
        "and run. May be repeated.",
        metavar="PY",
        rich_help_panel=INPUT,
    ),
]
States = Annotated[
    KeptStates | None,
    typer.Option(
        "--states",
        help="Of stateful Keras layers: inputs and outputs, or zeros at the start of each call.",
        rich_help_panel=INPUT,
    ),
]
MODELS = (
    "a .keras or .h5 file of any Keras, a folder that biport wrote, a .pt2 of torch.export, or FILE.py:NAME, "
    "a PyTorch module of your own, whose file is then imported and run"
)


def model_argument(help: str, metavar: str = "MODEL") -> Any:
    """A model, or several, that a command takes."""
    return typer.Argument(help=help, metavar=metavar, parser=Source)


Model = Annotated[Source, model_argument(f"{MODELS[0].upper()}{MODELS[1:]}.")]
MODULE = "PyTorch module"
"""The group of options that go with a module of the user's own."""
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Its weights: of torch.save or safetensors; no pickle is executed.",
        metavar="FILE",
        rich_help_panel=MODULE,
    ),
]
ModuleArguments = Annotated[
    str | None,
    typer.Option(
        "--args",
        help="What its class or function is called with, by name; or @ and a file of that.",
        metavar="JSON",
        rich_help_panel=MODULE,
    ),
]
Examples = Annotated[
    list[str] | None,
    typer.Option(
        "--example",
        help="An input, NAME=DTYPE[SIZES], letters for sizes that vary; with commas, or repeated.",
        metavar="INPUT",
        rich_help_panel=MODULE,
    ),
]
LengthInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--lengths",
        help="An input that is the lengths of rows, where it is not packed by; may be repeated.",
        metavar="NAME",
        rich_help_panel=MODULE,
    ),
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
