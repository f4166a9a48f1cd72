"""``biport demo``, ``train``, ``compare-merges``, ``curves``: models from data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.cli.app import Force, Json, app, report_errors, say
from biport.errors import InputError


class Demo(StrEnum):
    """What a demo shows."""

    SENTIMENT = "sentiment"
    SEQ2SEQ = "seq2seq"
    TAGGER = "tagger"


@app.command()
@report_errors
def demo(
    which: Annotated[Demo, typer.Argument(help="Which model.")] = Demo.SENTIMENT,
    output: Annotated[Path, typer.Option("-o", "--output", help="An empty folder, made if missing.")] = Path(
        "biport-demo"
    ),
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of training.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the data, the weights and the training.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a Keras BiLSTM, port it to PyTorch and ONNX, and compare all of them."""
    match which:
        case Demo.SENTIMENT:
            from biport.app.demo.sentiment import run_demo
        case Demo.SEQ2SEQ:
            from biport.app.demo.seq2seq import run_demo
        case Demo.TAGGER:
            from biport.app.demo.tagger import run_demo
    result = run_demo(output, epochs=epochs, seed=seed, force=force, quiet=as_json)
    say(as_json, result.to_json(), result.text)
    raise typer.Exit(0 if result.ok else 1)


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


class Dtype(StrEnum):
    """What a model is trained in the numbers of."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


@app.command()
@report_errors
def train(
    task: Annotated[Task, typer.Argument(help="What for.")],
    framework: Annotated[Framework, typer.Option("--framework", help="What in.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder for the run.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="reviews, imdb, tags, steps, dates, or a .csv, .jsonl, .tsv, aclImdb or imdb.npz."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="A recipe by name; by default the task's.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Start from these weights: a bundle folder or a .keras file."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="That of the first step.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of generated data, the order of batches, and the first weights.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to train on.")] = None,
    tags: Annotated[Tags | None, typer.Option("--tags", help="Two tags or several, for a tagger.")] = None,
    dtype: Annotated[Dtype | None, typer.Option("--dtype", help="By default the recipe's, float32.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the model, NAME=VALUE, the value as in JSON; repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, bit for bit.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
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
    result, text, code = run_training(
        chosen,
        framework=framework.value,
        output=output,
        initial=init,
        resume=resume,
        force=force,
        quiet=as_json,
    )
    say(as_json, result, text)
    raise typer.Exit(code)


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


@app.command("compare-merges")
@report_errors
def compare_merges(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A folder for the runs, made or gone on with.")
    ],
    data: Annotated[str, typer.Option("--data", help="reviews, imdb, or a file as for train.")] = "imdb",
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
    seed: Annotated[int | None, typer.Option(help="Of the order of batches and the first weights.")] = None,
    as_json: Json = False,
) -> None:
    """Train one classifier with each way of merging its directions, in each framework, and compare them."""
    from biport.app.train.merges import MERGES
    from biport.app.train.merges import compare_merges as compare

    options = ["--data", data, "--recipe", recipe]
    for name, value in (("--epochs", epochs), ("--limit", limit), ("--seed", seed)):
        options += [] if value is None else [name, str(value)]
    options += [] if masked is None else ["--set", f"masked={json.dumps(masked)}"]
    result, text = compare(
        options,
        frameworks=[one.value for one in framework or list(Framework)],
        merges=merge or MERGES,
        output=output,
        told=lambda line: None if as_json else typer.echo(line, err=True),
    )
    say(as_json, result, text)


@app.command()
@report_errors
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of biport train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .png, .svg or .pdf file.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw loss and accuracy of one run or several over their epochs."""
    from biport.app.train.command import run_curves

    data, text = run_curves(runs, output, force)
    say(as_json, data, text)
