"""The options of smaller numbers: which, how, what they are measured on, and what they must keep."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biport.app.cli.gate_options import gate_option
from biport.app.cli.options import input_option
from biport.errors import Argument, InputError

if TYPE_CHECKING:
    from biport.app.precision import Smaller

SMALLER = "Smaller numbers"
"""The group of these options in the help."""


class Int8Method(StrEnum):
    """How weights are made int8."""

    AUTO = "auto"
    WEIGHTS = "weights"
    DYNAMIC = "dynamic"
    STATIC = "static"


Int8 = Annotated[
    bool,
    typer.Option(
        "--int8", help="Weights in 8 bits; says what that gains and costs.", rich_help_panel=SMALLER
    ),
]
Fp16 = Annotated[
    bool, typer.Option("--fp16", help="Half precision, for a GPU; likewise.", rich_help_panel=SMALLER)
]
Method = Annotated[
    Int8Method,
    typer.Option(
        "--int8-method",
        help="weights: stored in 8 bits; dynamic: computed in them; static: convolutions too, by ranges that "
        "your rows show; auto: measured, and the best of them taken.",
        rich_help_panel=SMALLER,
    ),
]
MeasuredOn = Annotated[
    Path | None,
    input_option("What --int8 and --fp16 are measured on: texts (.txt, .csv, .tsv, .jsonl), or an .npz."),
]
TimedBatch = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Rows of the batches whose time is taken.", rich_help_panel=SMALLER
    ),
]
MaxAccuracyDrop = Annotated[
    float | None,
    gate_option(
        "--max-accuracy-drop",
        "The most by which accuracy over labelled rows may be lower than in float32.",
        metavar="SHARE",
    ),
]
MinSpeedup = Annotated[
    float | None,
    gate_option(
        "--min-speedup", "How many times as fast as float32 a file has to be at the least.", metavar="TIMES"
    ),
]


def smaller(
    int8: bool,
    float16: bool,
    method: Int8Method,
    inputs: Path | None,
    text: str | None,
    label: str | None,
    names: Sequence[str] | None,
    batch_size: int | None,
    limits: tuple[float | None, float | None, float | None],
    junit: Path | None,
) -> Smaller | None:
    """What the options say of smaller numbers; ``None`` where none are asked for.

    Args:
        limits: the largest drop of accuracy, the least speed-up, the least agreement.

    Raises:
        InputError: options that do not go together.
    """
    from biport.app.precision import Limits, Smaller

    if int8 and float16:
        raise InputError("--int8 and --fp16: take one of them")
    if not int8 and not float16:
        given = {"inputs": inputs, "text": text, "label": label, "batch_size": batch_size, "junit": junit}
        given |= dict(zip(("max_accuracy_drop", "min_speedup", "min_agreement"), limits, strict=True))
        given["int8_method"] = None if method is Int8Method.AUTO else method
        for name, value in given.items():
            if value is not None:
                raise InputError(Argument(name), ": of --int8 and --fp16 alone")
        return None
    precision = "int8" if int8 else "float16"
    return Smaller(precision, method.value, inputs, text, label, names, batch_size, Limits(*limits))
