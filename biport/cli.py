"""The command line, ``biport --help``.

Exit codes: 0 fine, 1 the verdict is "different" or "ill-conditioned", 2 bad usage or input, 3 unsupported
model, 128 and a signal's number: training was asked to stop. Frameworks are imported by the command that
needs them: ``biport --help`` loads none, not even numpy.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from biport import __version__
from biport.errors import BiportError, InputError, MissingDependencyError, UnsupportedError
from biport.targets import check_folder, check_target

app = typer.Typer(
    name="biport",
    help="Port recurrent models between Keras, PyTorch and ONNX, and prove that they compute the same thing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The model.to_json() that goes with an .h5 file of weights alone.", metavar="JSON"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it is there already.")]


class Lowering(StrEnum):
    """What becomes of recurrent layers in ONNX."""

    AUTO = "auto"
    FUSED = "fused"
    LOOP = "loop"


class Contract(StrEnum):
    """What an ONNX graph may take for granted; it checks that when it runs."""

    RIGHT_PADDED = "right-padded"


LoweringOption = Annotated[
    Lowering,
    typer.Option("--lowering", help="In ONNX: one fused node a recurrent layer, a loop, or the faster."),
]
ContractOption = Annotated[
    Contract | None,
    typer.Option("--contract", help="In ONNX: all padding is on the right; anything else is an error."),
]


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


class Target(StrEnum):
    """What a model can be ported to."""

    TORCH = "torch"
    KERAS = "keras"
    ONNX = "onnx"


def say(as_json: bool, data: dict[str, Any], text: str) -> None:
    """Print a result for a person, or for a program."""
    typer.echo(json.dumps(data, indent=1, allow_nan=False) if as_json else text)


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn biport's errors into one line on stderr, or a JSON document, and an exit code."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except BiportError as error:
            _fail(error, options.get("as_json", False))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            missing = MissingDependencyError(f"{package!r} is not installed: pip install 'biport[all]'")
            _fail(missing, options.get("as_json", False))

    return run


def _fail(error: BiportError, as_json: bool) -> None:
    if as_json:
        data: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
        if isinstance(error, UnsupportedError):
            data["reasons"] = error.reasons()
        typer.echo(json.dumps({"error": data}, indent=1))
    else:
        typer.echo(f"error: {error}", err=True)
    raise typer.Exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


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
    import importlib

    run_demo = importlib.import_module(f"biport.demos.{which.value}").run_demo
    result = run_demo(output, epochs=epochs, seed=seed, force=force, quiet=as_json)
    say(as_json, result.to_json(), result.text)
    raise typer.Exit(0 if result.ok else 1)


@app.command()
@report_errors
def port(
    source: Annotated[Path, typer.Argument(help="A .keras or .h5 file of any Keras, or a bundle folder.")],
    to: Annotated[Target, typer.Option("--to", help="What to write.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Bundle folder, .keras or .onnx file.")],
    config: ConfigFile = None,
    lowering: LoweringOption = Lowering.AUTO,
    contract: ContractOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Port a model: --to torch writes a bundle folder, --to keras a .keras file, --to onnx an ONNX graph."""
    _port(source, to, output, config, force, as_json, _onnx_options(lowering, contract))


@app.command()
@report_errors
def export(
    source: Annotated[Path, typer.Argument(help="A .keras or .h5 file of any Keras, or a bundle folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="An .onnx file.")],
    route: Annotated[
        str,
        typer.Option(help="fused; tf2onnx, for layers biport does not know; auto, the second if it has to."),
    ] = "fused",
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits; says what that costs.")] = False,
    half: Annotated[bool, typer.Option("--fp16", help="Half precision, for a GPU.")] = False,
    verified: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Try the file; one that differs is not kept.")
    ] = True,
    config: ConfigFile = None,
    lowering: LoweringOption = Lowering.AUTO,
    contract: ContractOption = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a model as an ONNX graph, one fused node a recurrent layer, and try it before it is kept."""
    from biport.exporting import export_model

    _check_output(source, Target.ONNX, output)
    if int8 and half:
        raise InputError("--int8 and --fp16: take one of them")
    precision = "int8" if int8 else "float16" if half else "float32"
    made = export_model(
        source,
        output,
        route=route,
        config=config,
        verify=verified,
        overwrite=force,
        precision=precision,
        options=_onnx_options(lowering, contract),
    )
    nodes = ", ".join(f"{count} {kind}" for kind, count in list(made.written.nodes.items())[:6])
    lines = [
        f"{output}: route {made.written.route}, {made.written.bytes:,} bytes",
        f"nodes: {nodes}" + (" ..." if len(made.written.nodes) > 6 else ""),
        f"verified {made.verified}" if made.verified else "not verified",
        *(made.cost.lines() if made.cost else []),
        *(f"note: {note}" for note in made.notes),
    ]
    data = {"source": str(source), **made.written.as_dict(), "verified": made.verified or None}
    data["cost"] = made.cost and made.cost.to_json()
    say(as_json, data | {"notes": list(made.notes)}, "\n".join(lines))


def _onnx_options(lowering: Lowering, contract: Contract | None) -> dict[str, Any]:
    """What of `export.write` was asked for."""
    options: dict[str, Any] = {} if lowering is Lowering.AUTO else {"lowering": lowering.value}
    return options if contract is None else options | {"contract": contract.value}


def _port(
    source: Path,
    to: Target,
    output: Path,
    config: Path | None,
    force: bool,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    _check_output(source, to, output)
    if options and to is not Target.ONNX:
        raise InputError(f"--{', --'.join(options)}: of --to onnx alone")
    graph, notes = _read(source, config)
    notes += _write(graph, to, output, force, options)
    data = {
        "source": str(source),
        "to": str(to),
        "output": str(output),
        "nodes": len(graph.nodes),
        "parameters": graph.parameter_count(),
        "digest": graph.digest(),
        "notes": notes,
    }
    lines = [f"{output}: {len(graph.nodes)} nodes, {graph.parameter_count():,} parameters", *notes]
    say(as_json, data, "\n".join(lines))


def _write(graph: Any, to: Target, output: Path, force: bool, options: dict[str, Any]) -> list[str]:
    """Write a graph; what somebody who ports it should know."""
    match to:
        case Target.TORCH:
            from biport import bundle

            bundle.write(graph, output, overwrite=force)
            return []
        case Target.ONNX:
            import export

            return [*export.write(graph, output, overwrite=force, **options).notes]
        case Target.KERAS:
            import keras_side
            from biport.transfer import summed_biases

            keras_side.save(graph, output, overwrite=force)
            return [f"{name}: two biases were added up, Keras keeps one" for name in summed_biases(graph)]


def _read(source: Path, config: Path | None) -> tuple[Any, list[str]]:
    """A model, and what somebody who ports it should know."""
    if _is_bundle(source):
        from biport import bundle

        return bundle.read(source), []
    if source.suffix == ".onnx":
        raise InputError(f"{source}: biport writes ONNX but does not read it; give a Keras file or a bundle")
    import keras_side

    found = keras_side.inspect(source, config)
    if found.problem is not None:
        raise found.problem
    return found.graph, [*found.notes]


def _is_bundle(source: Path) -> bool:
    """Whether a folder is biport's; a SavedModel is one too, and refused with advice of its own."""
    return source.is_dir() and not (source / "saved_model.pb").exists()


@app.command()
@report_errors
def bidirect(
    source: Annotated[Path, typer.Argument(help="A .keras or .h5 file of any Keras, or a bundle folder.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A .keras or .onnx file, otherwise a bundle folder.")
    ],
    layers: Annotated[
        list[str] | None, typer.Option("--layers", help="A layer to convert; may be repeated. Default: all.")
    ] = None,
    merge: Annotated[str, typer.Option(help="concat, sum, ave or mul.")] = "concat",
    init: Annotated[str, typer.Option(help="Of the backward half: copy, mirror or fresh.")] = "copy",
    seed: Annotated[int, typer.Option(help="Seed of fresh weights.")] = 0,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make LSTM, GRU and SimpleRNN layers bidirectional, and what follows them as wide as that needs."""
    from biport.bidirect import bidirect as convert

    to = {".keras": Target.KERAS, ".onnx": Target.ONNX}.get(output.suffix, Target.TORCH)
    _check_output(source, to, output)
    graph, notes = _read(source, config)
    made = convert(graph, layers, merge=merge, init=init, seed=seed)
    notes += _write(made.graph, to, output, force, {})
    data = {
        "source": str(source),
        "output": str(output),
        "layers": list(made.layers),
        "parameters": {"before": graph.parameter_count(), "after": made.graph.parameter_count()},
        "notes": [*notes, *made.notes],
    }
    say(as_json, data, "\n".join([str(made), *notes, f"written to {output}"]))


@app.command()
@report_errors
def inspect(
    source: Annotated[Path, typer.Argument(help="A .keras, .h5 or .onnx file, or a bundle folder.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what is in a model file: layers, shapes, masks, parameters, and what would stop a port."""
    found = _inspect(source, config)
    say(as_json, found.to_json(), found.text)
    raise typer.Exit(0 if found.problem is None else found.problem.exit_code)


def _inspect(source: Path, config: Path | None) -> Any:
    if _is_bundle(source):
        from biport import bundle
        from biport.inspection import inspect_graph

        graph = bundle.read(source)
        written = " ".join(graph.origin.get(key, "unknown") for key in ("framework", "version"))
        return inspect_graph(source, {"format": "biport bundle", "read from": written}, graph)
    if source.suffix == ".onnx":
        from export.inspect import inspect as inspect_onnx

        return inspect_onnx(source)
    import keras_side

    return keras_side.inspect(source, config)


def _check_output(source: Path, to: Target, output: Path) -> None:
    suffix = {Target.KERAS: ".keras", Target.ONNX: ".onnx"}.get(to)
    if suffix is not None and output.suffix != suffix:
        raise InputError(f"{output}: --to {to} writes a file that ends in {suffix}")
    if source.exists() and output.exists() and source.samefile(output):
        raise InputError(f"{output}: is the source; biport never writes over its input")
    check_folder(output)


@app.command()
@report_errors
def verify(
    models: Annotated[
        list[Path], typer.Argument(help="Two or more .keras or .h5 files, bundle folders and .onnx files.")
    ],
    config: ConfigFile = None,
    inputs: Annotated[
        Path | None, typer.Option("--input", help="An .npz of inputs by name, or an .npy for a single one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random inputs.")] = 0,
    float64: Annotated[
        bool, typer.Option("--float64", help="Also compare in float64, where a form can compute in it.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Also say where each form that differs first does.")
    ] = False,
    gradients: Annotated[
        bool,
        typer.Option("--gradients", help="Also compare the gradients of every weight, where a form has any."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare models with the oracle: random inputs with every pattern of mask, or those of a file."""
    from biport.verification import verify as verify_models

    if len(models) < 2:
        raise InputError("give two or more models to compare")
    for path in models:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    _import_torch_first(models)
    arrays = None if inputs is None else load_inputs(inputs)
    report = verify_models(
        *models,
        inputs=arrays,
        seed=seed,
        float64=float64,
        trace=trace,
        gradients=gradients,
        config=config,
    )
    say(as_json, report.to_json(), report.table)
    raise typer.Exit(0 if report.ok else 1)


def _import_torch_first(models: list[Path]) -> None:
    """Importing torch after tensorflow has been seen to crash."""
    if any(path.is_dir() for path in models):
        with contextlib.suppress(ImportError):
            import torch  # noqa: F401


def load_inputs(path: Path) -> Any:
    """The arrays of an ``.npz`` file by name, or in a list the only array of an ``.npz`` or ``.npy`` file.

    Raises:
        InputError: the file is missing or damaged, or holds something else than plain arrays.
    """
    import zipfile

    import numpy as np

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            # Anything else numpy takes for a pickle, and says how to load that unsafely.
            if not file.read(6).startswith((b"PK\x03\x04", b"\x93NUMPY")):
                raise ValueError("it does not begin like one")
            file.seek(0)
            found = np.load(file, allow_pickle=False)
            arrays = [found] if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a whole .npz or .npy file of plain arrays ({error})") from error
    # A model with one input takes the only array of a file whatever it is called.
    return list(arrays.values()) if isinstance(arrays, dict) and len(arrays) == 1 else arrays


@app.command()
@report_errors
def run(
    model: Annotated[Path, typer.Argument(help="An .onnx file.")],
    inputs: Annotated[
        Path, typer.Option("--input", help="An .npz of inputs by name, or an .npy for a single one.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="An .npz for the outputs, by name.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run an ONNX model on the arrays of a file."""
    import time

    from export import Session

    if output is not None and output.suffix != ".npz":
        raise InputError(f"{output}: outputs are written to a file that ends in .npz")
    if output is not None:
        check_target(output, force)
    session = Session(model, device=device)
    arrays = load_inputs(inputs)
    start = time.perf_counter()
    results = dict(zip(session.output_names, session.run(arrays), strict=True))
    milliseconds = 1000 * (time.perf_counter() - start)
    if output is not None:
        save_arrays(output, results)
    data = {
        "model": str(model),
        "milliseconds": milliseconds,
        "outputs": {name: _plain(array) for name, array in results.items()},
        "written": None if output is None else str(output),
    }
    lines = [f"{name} {array.dtype} {array.shape}\n{array}" for name, array in results.items()]
    written = [] if output is None else [f"written to {output}"]
    say(as_json, data, "\n".join([*lines, f"{milliseconds:.1f} ms", *written]))


def _plain(array: Any) -> dict[str, Any]:
    """An array for JSON, which knows neither NaN nor infinity: those are ``null``."""
    import numpy as np

    values = array.astype(object)
    if array.dtype.kind == "f":
        values[~np.isfinite(array)] = None
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values.tolist()}


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an ``.npz`` so that it appears whole or not at all."""
    import tempfile

    import numpy as np

    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, suffix=".npz", delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


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
    from biport.training.command import run_training
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
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair}: should be NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            # A word without quotes, as one types it.
            found[name] = value
    return found


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
    from biport.training.merges import MERGES
    from biport.training.merges import compare_merges as compare

    options = ["--data", data, "--recipe", recipe]
    for name, value in (("--epochs", epochs), ("--limit", limit), ("--seed", seed)):
        options += [] if value is None else [name, str(value)]
    options += [] if masked is None else ["--set", f"masked={json.dumps(masked)}"]
    found, text = compare(
        options,
        frameworks=[one.value for one in framework or list(Framework)],
        merges=merge or MERGES,
        output=output,
        told=lambda line: None if as_json else typer.echo(line, err=True),
    )
    say(as_json, found, text)


@app.command()
@report_errors
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of biport train.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .png, .svg or .pdf file.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw loss and accuracy of one run or several over their epochs."""
    from biport.training.command import run_curves

    data, text = run_curves(runs, output, force)
    say(as_json, data, text)


@app.command()
@report_errors
def bench(
    source: Annotated[Path, typer.Argument(help="A .keras or .h5 file of any Keras, or a bundle folder.")],
    batches: Annotated[str, typer.Option(help="Rows of a batch, with commas.")] = "1,8,32",
    steps: Annotated[str, typer.Option(help="Steps of the longest row, with commas.")] = "50,200",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            help="fused, int8, tf2onnx, torch, 'torch packed', 'Keras predict', 'Keras call'; repeated.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="For one operator, of every form.")] = 1,
    seconds: Annotated[float, typer.Option(help="For each size.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder for bench.json, bench.md and bench.png.")
    ] = None,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Time a model in Keras, torch and onnxruntime side by side in one run: medians and ratios."""
    from biport.bench.command import run_command

    graph, _ = _read(source, config)
    data, text = run_command(
        graph,
        batches=batches,
        steps=steps,
        forms=form or (),
        threads=threads,
        seconds=seconds,
        seed=seed,
        output=output,
        force=force,
        quiet=as_json,
    )
    say(as_json, data, text)


@app.command()
@report_errors
def matrix(
    cell: Annotated[
        list[str] | None,
        typer.Option("--cell", help="LSTM, GRU, 'GRU reset before', RNN or stacked; may be repeated."),
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option("--merge", help="concat, sum, mul, ave or none; may be repeated.")
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option("--mask", help="none, full, right, left, holes or 'all padding'; may be repeated."),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--form", help="Keras, torch, 'ONNX fused' or 'ONNX tf2onnx'; may be repeated."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Default activations, with biases.")] = False,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Plant faults, and tell whether the matrix finds them.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda, for torch and onnxruntime.")] = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder for matrix.json, matrix.xml (JUnit) and matrix.html."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run every kind of recurrent layer, setting and mask in every form against the float64 oracle."""
    from biport.matrix.command import run_command

    _quiet_frameworks()
    choices = {"cells": cell, "merges": merge, "masks": mask}
    data, text, ok = run_command(
        {name: tuple(chosen or ()) for name, chosen in choices.items()},
        forms=tuple(form or ()),
        quick=quick,
        planting=mutate,
        device=device,
        jobs=jobs,
        seed=seed,
        output=output,
        force=force,
        quiet=as_json,
    )
    say(as_json, data, text)
    raise typer.Exit(0 if ok else 1)


def _quiet_frameworks() -> None:
    """Torch before tensorflow, and no warnings about layers that end a mask."""
    import warnings

    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401


@app.command()
@report_errors
def layers(as_json: Json = False) -> None:
    """Print what is supported, read off the registries."""
    from biport.support import support_rows, support_table

    rows = support_rows()
    say(as_json, {"layers": rows}, support_table(rows))


def main() -> None:
    """The entry point of the ``biport`` command."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
