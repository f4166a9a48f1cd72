"""``biport demo``, ``train``, ``compare-merges``, ``curves``: models from data."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.cli.app import Result, command
from biport.app.cli.gate_options import JUnitFile, gate_option
from biport.app.cli.logs import tell
from biport.app.cli.options import INPUT, OUTPUT, Force, Json, Seed, output_option
from biport.errors import InputError
from biport.files import check_folder_name, new_folder

PANEL = "Models from data"


class Demo(StrEnum):
    """What a demo shows."""

    SENTIMENT = "sentiment"
    SEQ2SEQ = "seq2seq"
    TAGGER = "tagger"
    OCR = "ocr"


@command(PANEL, "biport demo", "biport demo seq2seq -o dates/ --epochs 3", "biport demo ocr -o captchas/")
def demo(
    which: Annotated[Demo, typer.Argument(help="Which model.")] = Demo.SENTIMENT,
    output: Annotated[Path, output_option("An empty folder, made if missing.")] = Path("biport-demo"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Train a Keras BiLSTM, or a reader of captchas, port it to PyTorch and ONNX, and compare all of them."""
    match which:
        case Demo.SENTIMENT:
            from biport.app.demo.sentiment import run_demo
        case Demo.SEQ2SEQ:
            from biport.app.demo.seq2seq import run_demo
        case Demo.TAGGER:
            from biport.app.demo.tagger import run_demo
        case Demo.OCR:
            from biport.app.demo.ocr import run_demo
    check_folder_name(output)
    with new_folder(output):
        result = run_demo(output, epochs=epochs, seed=seed, force=force, quiet=as_json)
    return Result(result.to_json(), result.text, 0 if result.ok else 1)


class Task(StrEnum):
    """What a model is trained for."""

    SENTIMENT = "sentiment"
    TAGGER = "tagger"
    SEQ2SEQ = "seq2seq"


class Framework(StrEnum):
    """What a model is trained in."""

    KERAS = "keras"
    TORCH = "torch"


class Tags(StrEnum):
    """How a tagger tells its tags apart."""

    BINARY = "binary"
    SOFTMAX = "softmax"


class Metric(StrEnum):
    """What of two runs is compared."""

    LOSS = "loss"
    ACCURACY = "accuracy"
    VALIDATION_LOSS = "validation_loss"
    VALIDATION_ACCURACY = "validation_accuracy"


class Dtype(StrEnum):
    """What a model is trained in the numbers of."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


@command(
    PANEL,
    "biport train sentiment --framework keras -o run-keras",
    "biport train sentiment --framework torch -o run-torch --initial run-keras/initial",
    "biport train sentiment --framework torch --data reviews.csv -o run --set merge=sum",
    "biport train sentiment --framework keras -o run-keras --resume",
)
def train(
    task: Annotated[Task, typer.Argument(help="What for.")],
    framework: Annotated[Framework, typer.Option("--framework", help="What in.")],
    output: Annotated[Path, output_option("A folder for the run.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="reviews, imdb, tags, steps, dates, or a .csv, .jsonl, .tsv, aclImdb or imdb.npz.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A recipe by name; by default the task's.")
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(
            "--initial",
            "--init",
            help="Start from these weights: a folder that biport wrote, or a .keras file.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="That of the first step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to train on.")] = None,
    tags: Annotated[Tags | None, typer.Option("--tags", help="Two tags or several, for a tagger.")] = None,
    dtype: Annotated[Dtype | None, typer.Option("--dtype", help="By default the recipe's, float32.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the model, NAME=VALUE, the value as in JSON; repeated."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in the folder, bit for bit.", rich_help_panel=OUTPUT
        ),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Train a model by a recipe, the same one in either framework."""
    from biport.app.train.command import run_training
    from biport.training.recipes import find_recipe

    chosen = find_recipe(task.value, recipe, data).but(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        limit=limit,
        tags=tags and tags.value,
        dtype=dtype and dtype.value,
    )
    chosen = chosen.setting(_settings(settings or ()))
    return Result(
        *run_training(
            chosen,
            framework=framework.value,
            output=output,
            initial=initial,
            resume=resume,
            force=force,
            quiet=as_json,
        )
    )


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair}: should be NAME=VALUE")
        try:
            chosen[name] = json.loads(value)
        except ValueError:
            # A word without quotes, as one types it.
            chosen[name] = value
    return chosen


@command(
    PANEL,
    "biport compare-merges -o merges/",
    "biport compare-merges --data reviews --recipe reviews --limit 400 --epochs 2 -o merges/",
    name="compare-merges",
)
def compare_merges(
    output: Annotated[Path, output_option("A folder for the runs, made or gone on with.")],
    data: Annotated[
        str,
        typer.Option("--data", help="reviews, imdb, or a file as for train.", rich_help_panel=INPUT),
    ] = "imdb",
    recipe: Annotated[str, typer.Option("--recipe", help="A recipe of train sentiment.")] = "imdb-sum",
    framework: Annotated[
        list[Framework] | None, typer.Option("--framework", help="May be repeated; by default both.")
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option("--merge", help="May be repeated; by default concat, sum, ave and mul."),
    ] = None,
    masked: Annotated[
        bool | None, typer.Option("--masked/--unmasked", help="Whether padding is skipped.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to train on.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    as_json: Json = False,
) -> Result:
    """Train one classifier with each way of merging its directions, in each framework, and compare them."""
    from biport.app.train.merges import MERGES
    from biport.app.train.merges import compare_merges as compare

    options = ["--data", data, "--recipe", recipe]
    for name, value in (("--epochs", epochs), ("--limit", limit), ("--seed", seed)):
        options += [] if value is None else [name, str(value)]
    options += [] if masked is None else ["--set", f"masked={json.dumps(masked)}"]
    return Result(
        *compare(
            options,
            frameworks=[one.value for one in framework or list(Framework)],
            merges=merge or MERGES,
            output=output,
            told=lambda line: None if as_json else tell(line, line, logging.INFO),
        )
    )


@command(
    PANEL,
    "biport curves run-torch run-keras -o both.png",
    "biport curves run-torch run-keras --max-difference 1e-4 --metric loss --junit curves.xml",
)
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of biport train.", metavar="RUN...")],
    output: Annotated[Path | None, output_option("A .png, .svg or .pdf file.")] = None,
    max_difference: Annotated[
        float | None,
        gate_option(
            "--max-difference",
            "The most that a run may be off the first one in any epoch.",
            metavar="NUMBER",
        ),
    ] = None,
    metric: Annotated[
        list[Metric] | None,
        gate_option("--metric", "What is compared; repeated. By default all of them."),
    ] = None,
    junit: JUnitFile = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Draw loss and accuracy of one run or several over their epochs, or compare them."""
    from biport.app.train.command import run_curves

    data, text, ok = run_curves(
        runs,
        output,
        force,
        max_difference=max_difference,
        metrics=[one.value for one in metric or ()],
        junit=junit,
    )
    return Result(data, text, 0 if ok else 1)
