"""``biport port``, ``export``, ``bidirect``: a model in, another form of it out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biport.app.cli.app import Result, command
from biport.app.cli.ctc_options import takes_characters
from biport.app.cli.embed_options import EmbedTokenizer, RefuseCharacters
from biport.app.cli.gate_options import JUnitFile, LabelColumn, MinAgreement, TextColumn, class_names
from biport.app.cli.image_options import takes_images
from biport.app.cli.models import Target, check_output, check_source_kept, takes_model
from biport.app.cli.onnx_options import takes_runtime
from biport.app.cli.options import OUTPUT, Force, Json, Model, Seed, Verified, output_option
from biport.app.cli.precision_options import (
    Fp16,
    Int8,
    Int8Method,
    MaxAccuracyDrop,
    MeasuredOn,
    Method,
    MinSpeedup,
    TimedBatch,
    smaller,
)
from biport.app.cli.run_options import AsDecoder, EndToken, SourceVocabulary, StartToken, TargetVocabulary
from biport.app.cli.text_options import TEXTS, takes_texts
from biport.app.source import Source
from biport.errors import Argument, InputError, UnsupportedError
from biport.files import check_folder, check_folder_name, new_folder

if TYPE_CHECKING:
    from biport.app.ctc import CtcOptions
    from biport.app.texts import TextOptions
    from biport.data.images import ImageSettings

PANEL = "Models from models"


class Lowering(StrEnum):
    """What becomes of recurrent layers in ONNX."""

    AUTO = "auto"
    FUSED = "fused"
    LOOP = "loop"


class WeightsFile(StrEnum):
    """As what the weights of a folder are stored."""

    SAFETENSORS = "safetensors"
    PT = "pt"


class Biases(StrEnum):
    """How many biases of a recurrent layer are trained."""

    ONE = "one"
    TWO = "two"


class Contract(StrEnum):
    """What an ONNX graph may take for granted; it checks that when it runs."""

    RIGHT_PADDED = "right-padded"


ONNX = "ONNX"
"""A group of options in the help."""
LoweringOption = Annotated[
    Lowering,
    typer.Option(
        "--lowering", help="One fused node a recurrent layer, a loop, or the faster.", rich_help_panel=ONNX
    ),
]
ContractOption = Annotated[
    Contract | None,
    typer.Option(
        "--contract", help="All padding is on the right; anything else is an error.", rich_help_panel=ONNX
    ),
]


@command(
    PANEL,
    "biport port model.keras --to torch -o ported/",
    "biport port ported/ --to keras -o again.keras",
    "biport port weights.h5 --config model.json --to onnx -o model.onnx",
    "biport port tagger.py:Tagger --checkpoint tagger.pt --example 'ids=int64[N,T]' --to keras -o t.keras",
)
@takes_model
@takes_runtime
@takes_images
@takes_texts
@takes_characters
def port(
    source: Model,
    text_options: TextOptions,
    ctc_options: CtcOptions,
    images: ImageSettings,
    runs_on: dict[str, Any],
    to: Annotated[Target, typer.Option("--to", help="What to write.", rich_help_panel=OUTPUT)],
    output: Annotated[Path, output_option("Folder, .keras or .onnx file.")],
    weights: Annotated[
        WeightsFile | None,
        typer.Option("--weights", help="As what --to torch stores the weights.", rich_help_panel=OUTPUT),
    ] = None,
    biases: Annotated[
        Biases | None,
        typer.Option(
            "--biases",
            help="What --to torch trains where Keras has one bias and torch two: one (default) or two.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    lowering: LoweringOption = Lowering.AUTO,
    contract: ContractOption = None,
    verified: Verified = True,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Port a model, and try what is written before it is kept.

    --to torch writes a folder of plain PyTorch, model.py and its weights, which needs torch alone;
    --to keras a .keras file; --to onnx an ONNX graph; --to bundle the neutral graph, for biport's own use.
    """
    from biport.app.open_source import read_source
    from biport.app.other_route import MAY_WRITE, advise
    from biport.app.port import write_verified
    from biport.app.stored import is_stored, texts_of, with_images

    check_output(source, to, output)
    options = _onnx_options(lowering, contract) | runs_on
    if options and to is not Target.ONNX:
        raise InputError(*_options(options), ": of --to onnx alone")
    own = {"weights": weights, "biases": biases}
    if to is not Target.TORCH and any(own.values()):
        raise InputError("--weights, --biases: of --to torch alone")
    options |= {name: value.value for name, value in own.items() if value is not None}
    if to is not Target.KERAS:
        options |= with_images(texts_of(source.path), images)
    elif images.given:
        raise InputError("--image-scale and its like: not of --to keras, whose files have no room for them")
    try:
        graph, notes = read_source(source)
    except UnsupportedError as problem:
        if to is Target.ONNX and not source.is_module:
            advise(problem, source.path, f"biport export {source} -o {output} --route auto {MAY_WRITE}")
        raise
    graph = ctc_options.spelled(text_options.spoken(graph, is_stored(source.path)))
    if to is not Target.KERAS:
        notes = [*notes, *text_options.notes(graph), *ctc_options.notes(graph)]
    if to is Target.TORCH:
        options["notes"] = [f"made of {Path(source.text).name}", *notes]
    written = write_verified(
        graph, to.value, output, overwrite=force, verified=verified, options=options, quiet=as_json
    )
    notes = [*notes, *written.notes]
    data = {
        "source": str(source),
        "to": str(to),
        "output": str(output),
        "nodes": len(graph.nodes),
        "parameters": graph.parameter_count(),
        "digest": graph.digest(),
        "verified": written.to_json(),
        "notes": notes,
    }
    lines = [f"{output}: {len(graph.nodes)} nodes, {graph.parameter_count():,} parameters", written.text]
    return Result(data, "\n".join([*lines, *(f"note: {note}" for note in notes)]))


@command(
    PANEL,
    "biport export model.keras -o model.onnx",
    "biport export model.keras -o model.onnx --route auto",
    "biport export model.keras -o small.onnx --int8",
    "biport export ported/ -o small.onnx --int8 --input reviews.csv --label stars --max-accuracy-drop 0.005",
    "biport export model.keras --triton models/",
    "biport export tagger.py:Tagger --checkpoint tagger.pt -o tagger.onnx",
    "biport export run-dates --decoder -o dates/",
)
@takes_model
@takes_runtime
@takes_images
@takes_texts
@takes_characters
def export(
    source: Model,
    text_options: TextOptions,
    ctc_options: CtcOptions,
    images: ImageSettings,
    runs_on: dict[str, Any],
    output: Annotated[Path | None, output_option("An .onnx file.")] = None,
    triton: Annotated[
        Path | None,
        typer.Option(
            help="A Triton model repository to write the model into.",
            metavar="FOLDER",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="What the classes are called, with commas between.", metavar="A,B", rich_help_panel=TEXTS
        ),
    ] = None,
    embed_tokenizer: EmbedTokenizer = False,
    refuse_characters: RefuseCharacters = False,
    route: Annotated[
        str,
        typer.Option(
            help="fused; tf2onnx, for layers biport does not know; auto, the second if it has to.",
            rich_help_panel=ONNX,
        ),
    ] = "fused",
    int8: Int8 = False,
    float16: Fp16 = False,
    int8_method: Method = Int8Method.AUTO,
    inputs: MeasuredOn = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    batch_size: TimedBatch = None,
    max_accuracy_drop: MaxAccuracyDrop = None,
    min_speedup: MinSpeedup = None,
    min_agreement: MinAgreement = None,
    junit: JUnitFile = None,
    verified: Verified = True,
    lowering: LoweringOption = Lowering.AUTO,
    contract: ContractOption = None,
    decoder: AsDecoder = False,
    source_vocabulary: SourceVocabulary = None,
    target_vocabulary: TargetVocabulary = None,
    start: StartToken = None,
    end: EndToken = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Write a model as an ONNX graph, one fused node a recurrent layer, and try it before it is kept."""
    from biport.app.export import export_model, text_arguments
    from biport.app.junit import check_junit, write_junit
    from biport.app.open_source import load_with_code, read_source
    from biport.app.precision import LimitError, precision_suite
    from biport.app.progress import show_progress
    from biport.app.stored import with_images
    from biport.rewrite.probabilities import with_probabilities
    from export.deploy.triton import repository

    limits = max_accuracy_drop, min_speedup, min_agreement
    names = class_names(labels)
    how = smaller(int8, float16, int8_method, inputs, text, label, names, batch_size, limits, junit)
    if decoder:
        others = vars(text_options) | runs_on | _onnx_options(lowering, contract)
        others |= {"triton": triton, "labels": labels, "embed_tokenizer": embed_tokenizer}
        others |= {"refuse_characters": refuse_characters, "int8": int8, "float16": float16}
        others |= vars(ctc_options)
        others |= {f"image_{name}": value for name, value in images.to_data().items()}
        languages = source_vocabulary, target_vocabulary, start, end
        return _export_decoder(source, output, languages, others, verified, force, as_json)
    if source_vocabulary or target_vocabulary or start or end:
        raise InputError("--source-vocabulary, --target-vocabulary, --start, --end: go with --decoder")
    if (output is None) == (triton is None):
        raise InputError("say where to with --output FILE or --triton FOLDER, one of the two")
    if triton is not None:
        output = repository.repository_path(triton, source.stem)
    assert output is not None
    check_source_kept(source, Target.ONNX, output)
    check_junit(junit, force)
    options = text_arguments(source.path, names, embed_tokenizer, refuse_characters, route)
    options = with_images(options, images)
    options |= _onnx_options(lowering, contract) | runs_on
    settings: dict[str, Any] = {"config": source.config, "states": source.states}
    settings |= {"verify": verified, "overwrite": force, "texts": text_options, "ctc": ctc_options}
    if triton is not None and "labels" in options:
        # Triton names the numbers of an output, of which one sigmoid has one.
        settings["rewrite"] = with_probabilities
    notes: list[str] = []
    model: Any = source.path
    with contextlib.ExitStack() as stack:
        if triton is not None:
            stack.enter_context(new_folder(output.parent))
        check_folder(output)
        display = stack.enter_context(show_progress(as_json))
        display.step(f"reading {source}, writing {output}" + (" and trying it" if verified else ""))
        if source.is_module or source.is_program:
            model, notes = read_source(source)
        elif source.code is not None:
            model = load_with_code(source)
        try:
            exported = export_model(
                model, output, route=route, precision=how or "float32", options=options, **settings
            )
        except LimitError as error:
            write_junit(junit, "biport export", [precision_suite(str(source), error.tried, error.gates)])
            if triton is not None:
                raise
            return Result(error.to_json(), "\n".join(error.lines()), error.exit_code)
        if exported.smaller is not None:
            suite = precision_suite(str(source), [exported.smaller.cost], exported.smaller.gates)
            write_junit(junit, "biport export", [suite])
        if triton is not None:
            notes += repository.complete(output)
    nodes = ", ".join(f"{count} {kind}" for kind, count in list(exported.written.nodes.items())[:6])
    lines = [
        f"{output}: route {exported.written.route}, {exported.written.bytes:,} bytes",
        f"nodes: {nodes}" + (" ..." if len(exported.written.nodes) > 6 else ""),
        *exported.lines(),
        *(f"note: {note}" for note in (*notes, *exported.notes)),
    ]
    data = {"source": str(source), **exported.written.as_dict(), **exported.to_json()}
    data["notes"] = [*notes, *data["notes"]]
    return Result(data, "\n".join(lines))


def _export_decoder(
    source: Source,
    output: Path | None,
    languages: tuple[Path | None, Path | None, str | None, str | None],
    others: dict[str, Any],
    verified: bool,
    force: bool,
    as_json: bool,
) -> Result:
    from biport.app.decoder import Languages, export_decoder

    asked = {name: value for name, value in others.items() if value not in (None, False)}
    if asked:
        raise InputError(*_options(asked), ": of a model as one file, not of ", Argument("decoder"))
    if output is None:
        raise InputError("say where to with --output FOLDER")
    check_folder_name(output)
    settings = {"verified": verified, "overwrite": force, "quiet": as_json}
    return Result(*export_decoder(source, output, Languages(*languages), **settings))


def _options(asked: Mapping[str, Any]) -> list[str | Argument]:
    """Options as a message names them."""
    named: list[str | Argument] = []
    for name in asked:
        named += [", "] * bool(named) + [Argument(name)]
    return named


def _onnx_options(lowering: Lowering, contract: Contract | None) -> dict[str, Any]:
    """What of `export.write` was asked for."""
    options: dict[str, Any] = {} if lowering is Lowering.AUTO else {"lowering": lowering.value}
    return options if contract is None else options | {"contract": contract.value}


@command(
    PANEL,
    "biport bidirect model.keras -o both.keras",
    "biport bidirect model.keras -o both/ --layer encoder --merge sum",
)
@takes_model
def bidirect(
    source: Model,
    output: Annotated[
        Path, output_option("A .keras or .onnx file, otherwise a folder as of port --to torch.")
    ],
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", "--layers", help="A layer to convert; may be repeated. Default: all."),
    ] = None,
    merge: Annotated[str, typer.Option(help="concat, sum, ave or mul.")] = "concat",
    init: Annotated[str, typer.Option(help="Of the backward direction: copy, mirror or fresh.")] = "copy",
    seed: Seed = 0,
    verified: Verified = True,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Make LSTM, GRU and SimpleRNN layers bidirectional, and what follows them as wide as that needs."""
    from biport.app.open_source import read_source
    from biport.app.port import write_verified
    from biport.rewrite.bidirectional import bidirect as convert

    to = {".keras": Target.KERAS, ".onnx": Target.ONNX}.get(output.suffix, Target.TORCH)
    check_output(source, to, output)
    graph, notes = read_source(source)
    converted = convert(graph, layers, merge=merge, init=init, seed=seed)
    written = write_verified(
        converted.graph, to.value, output, overwrite=force, verified=verified, quiet=as_json
    )
    notes = [*notes, *written.notes]
    data = {
        "source": str(source),
        "output": str(output),
        "layers": list(converted.layers),
        "parameters": {"before": graph.parameter_count(), "after": converted.graph.parameter_count()},
        "verified": written.to_json(),
        "notes": [*notes, *converted.notes],
    }
    lines = [str(converted), *(f"note: {note}" for note in notes), f"written to {output}", written.text]
    return Result(data, "\n".join(lines))
