"""``biport port``, ``export``, ``bidirect``: a model in, another form of it out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biport.app.cli.app import ConfigFile, Force, Json, app, report_errors, say
from biport.app.cli.models import Target, check_output, read_source
from biport.errors import InputError, UnsupportedError


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
    output: Annotated[Path | None, typer.Option("-o", "--output", help="An .onnx file.")] = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="A Triton model repository to write the model into.", metavar="FOLDER"),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="A vocabulary.json that the file then carries; that of a bundle is known."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="What the classes are called, with commas between.", metavar="A,B")
    ] = None,
    embed_tokenizer: Annotated[
        bool, typer.Option("--embed-tokenizer", help="Let the file take strings, split at white space.")
    ] = False,
    route: Annotated[
        str,
        typer.Option(help="fused; tf2onnx, for layers biport does not know; auto, the second if it has to."),
    ] = "fused",
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits; says what that costs.")] = False,
    float16: Annotated[bool, typer.Option("--fp16", help="Half precision, for a GPU.")] = False,
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
    from biport.app.export import export_model, text_options
    from biport.app.other_route import MAY_WRITE
    from export.deploy import triton as repository

    if (output is None) == (triton is None):
        raise InputError("say where to with --output FILE or --triton FOLDER, one of the two")
    if triton is not None:
        output = repository.repository_path(triton, source.resolve().stem)
    assert output is not None
    check_output(source, Target.ONNX, output)
    if int8 and float16:
        raise InputError("--int8 and --fp16: take one of them")
    precision = "int8" if int8 else "float16" if float16 else "float32"
    options = text_options(source, vocabulary, labels, embed_tokenizer, route)
    options |= _onnx_options(lowering, contract)
    settings: dict[str, Any] = {"config": config, "verify": verified, "overwrite": force}
    try:
        exported = export_model(source, output, route=route, precision=precision, options=options, **settings)
    except UnsupportedError as problem:
        if problem.advice:
            problem.advise(f"--route auto {MAY_WRITE}")
        raise
    if triton is not None:
        repository.write_config(output)
    nodes = ", ".join(f"{count} {kind}" for kind, count in list(exported.written.nodes.items())[:6])
    lines = [
        f"{output}: route {exported.written.route}, {exported.written.bytes:,} bytes",
        f"nodes: {nodes}" + (" ..." if len(exported.written.nodes) > 6 else ""),
        *exported.lines(),
        *(f"note: {note}" for note in exported.notes),
    ]
    data = {"source": str(source), **exported.written.as_dict(), **exported.to_json()}
    say(as_json, data, "\n".join(lines))


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
    from biport.app.other_route import MAY_WRITE, advise

    check_output(source, to, output)
    if options and to is not Target.ONNX:
        raise InputError(f"--{', --'.join(options)}: of --to onnx alone")
    try:
        graph, notes = read_source(source, config)
    except UnsupportedError as problem:
        if to is Target.ONNX:
            advise(problem, source, f"biport export {source} -o {output} --route auto {MAY_WRITE}")
        raise
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
            from biport.rewrite.biases import summed_biases

            keras_side.save(graph, output, overwrite=force)
            return [f"{name}: two biases were added up, Keras keeps one" for name in summed_biases(graph)]


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
    init: Annotated[str, typer.Option(help="Of the backward direction: copy, mirror or fresh.")] = "copy",
    seed: Annotated[int, typer.Option(help="Seed of fresh weights.")] = 0,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make LSTM, GRU and SimpleRNN layers bidirectional, and what follows them as wide as that needs."""
    from biport.rewrite.bidirectional import bidirect as convert

    to = {".keras": Target.KERAS, ".onnx": Target.ONNX}.get(output.suffix, Target.TORCH)
    check_output(source, to, output)
    graph, notes = read_source(source, config)
    converted = convert(graph, layers, merge=merge, init=init, seed=seed)
    notes += _write(converted.graph, to, output, force, {})
    data = {
        "source": str(source),
        "output": str(output),
        "layers": list(converted.layers),
        "parameters": {"before": graph.parameter_count(), "after": converted.graph.parameter_count()},
        "notes": [*notes, *converted.notes],
    }
    say(as_json, data, "\n".join([str(converted), *notes, f"written to {output}"]))
