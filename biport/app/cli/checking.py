"""``biport inspect``, ``verify``, ``check``, ``matrix``, ``bench``, ``layers``: looking and comparing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biport.app.cli.app import Result, command, import_torch_first
from biport.app.cli.ctc_options import takes_characters
from biport.app.cli.gate_options import (
    ClassNames,
    ExpectedFile,
    JUnitFile,
    LabelColumn,
    MinAgreement,
    TextColumn,
    Tolerance,
    class_names,
)
from biport.app.cli.models import takes_model
from biport.app.cli.options import (
    MODELS,
    Device,
    Force,
    Json,
    Model,
    Seed,
    input_option,
    model_argument,
    output_option,
)
from biport.app.cli.text_options import takes_texts
from biport.app.source import Source
from biport.errors import InputError

if TYPE_CHECKING:
    from biport.app.ctc import CtcOptions
    from biport.app.texts import TextOptions

PANEL = "Looking, comparing, measuring"


@command(
    PANEL,
    "biport inspect old.h5",
    "biport inspect model.onnx --json",
    "biport inspect tagger.py:Tagger --args '{\"hidden\": 64}'",
)
@takes_model
def inspect(
    source: Annotated[Source, model_argument(f"An .onnx file, or {MODELS}.")],
    as_json: Json = False,
) -> Result:
    """Show what is in a model file: layers, shapes, masks, parameters, and what would stop a port."""
    from biport.app.open_source import inspect_source
    from biport.app.other_route import MAY_WRITE, advise

    inspection = inspect_source(source)
    if inspection.problem is not None and not source.is_module:
        advise(inspection.problem, source.path, f"biport export {source} --route auto {MAY_WRITE}")
    if inspection.problem is not None:
        inspection.problem.spell(lambda argument: f"--{argument.name} {argument.value}")
    code = 0 if inspection.problem is None else inspection.problem.exit_code
    return Result(inspection.to_json(), inspection.text, code)


@command(
    PANEL,
    "biport verify model.keras ported/ model.onnx",
    "biport verify tagger.py:Tagger tagger.onnx --checkpoint tagger.pt",
    "biport verify model.keras model.onnx --trace",
    "biport verify model.keras model.onnx --without-keras",
    "biport verify model.keras ported/ model.onnx -o report.html",
    "biport verify model.keras model.onnx --input tokens.npz",
    "biport verify ported/ small.onnx --input reviews.csv --tolerance 0.05 --min-agreement 0.999",
    "biport verify ported/ model.onnx --input reviews.csv --expected predictions.npz --junit results.xml",
)
@takes_model
@takes_texts
@takes_characters
def verify(
    models: Annotated[
        list[Source], model_argument(f"Two or more; each is an .onnx file, or {MODELS}.", "MODEL...")
    ],
    text_options: TextOptions,
    ctc_options: CtcOptions,
    inputs: Annotated[
        Path | None,
        input_option("Texts in a .txt, .csv, .tsv or .jsonl; or an .npz of inputs by name, an .npy for one."),
    ] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    labels: ClassNames = None,
    tolerance: Tolerance = None,
    min_agreement: MinAgreement = None,
    expected: ExpectedFile = None,
    seed: Seed = 0,
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
    without_keras: Annotated[
        bool,
        typer.Option(
            "--without-keras",
            help="Have what biport reads of Keras files stand for them: quick, imports no framework.",
        ),
    ] = False,
    output: Annotated[
        Path | None, output_option("A page of the report: an .html file that needs nothing else.")
    ] = None,
    junit: JUnitFile = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Compare models with the oracle, on random inputs with every pattern of mask or on data of yours."""
    from biport.app.junit import check_junit, report_suites, write_junit
    from biport.app.open_source import open_source
    from biport.app.progress import show_progress
    from biport.app.report_page.write import check_page, write_html
    from biport.app.verify import verify as verify_models

    if len(models) < 2:
        raise InputError("give two or more models to compare")
    if output is not None:
        check_page(output, force)
    check_junit(junit, force)
    for source in models:
        if not (source.is_module or source.path.exists()):
            raise InputError(f"{source}: no such file or folder")
    if any(source.is_module or source.is_program or source.path.is_dir() for source in models):
        import_torch_first()
    with show_progress(as_json) as display:
        forms = []
        for source in models:
            display.step(f"opening {source}")
            forms.append(ctc_options.form(text_options.form(open_source(source, without_keras))))
        report = verify_models(
            *forms,
            inputs=inputs,
            text=text,
            label=label,
            labels=class_names(labels),
            tolerance=tolerance,
            min_agreement=min_agreement,
            expected=expected,
            seed=seed,
            float64=float64,
            trace=trace or (output is not None and "auto"),
            gradients=gradients,
            progress=display.step,
        )
        if output is not None:
            write_html(report, output, overwrite=force)
        write_junit(junit, "biport verify", report_suites(report, " ".join(map(str, models))))
    written = {name: str(path) for name, path in (("output", output), ("junit", junit)) if path is not None}
    text_lines = [report.table, *(f"written: {path}" for path in written.values())]
    return Result(report.to_json() | written, "\n".join(text_lines), 0 if report.ok else 1)


@command(
    PANEL,
    "biport check model.onnx",
    "biport check models/*.onnx --json",
)
def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="An .onnx file, a bundle, or the folder of a PyTorch module, whose model.py is then "
            "imported and run.",
            metavar="PATH...",
        ),
    ],
    device: Device = "cpu",
    junit: JUnitFile = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Run models on the check vectors they carry: do they still give here what the oracle gave?"""
    from biport.app.check import Checked, check_model, check_models, checked_suites
    from biport.app.junit import check_junit, write_junit
    from biport.app.progress import show_progress

    check_junit(junit, force)
    if any(path.is_dir() for path in paths):
        import_torch_first()
    with show_progress(as_json) as display:
        display.step(f"checking {', '.join(map(str, paths))}")
        checked = [check_model(paths[0], device)] if len(paths) == 1 else check_models(paths, device)
    write_junit(junit, "biport check", checked_suites(checked))
    texts, models, codes = [], [], []
    for one in checked:
        if isinstance(one, Checked):
            texts.append(one.text)
            models.append(one.to_json())
            codes.append(0 if one.report.ok else 1)
        else:
            path, error = one
            texts.append(f"{path}: not checked\nerror: {error}")
            models.append({"path": str(path), "error": {"kind": type(error).__name__, "message": str(error)}})
            codes.append(error.exit_code)
    return Result({"ok": not any(codes), "models": models}, "\n\n".join(texts), max(codes))


@command(
    PANEL,
    "biport bench model.keras -o times/",
    "biport bench model.keras --form fused --form torch --batches 1,64 --steps 100",
)
@takes_model
def bench(
    source: Model,
    batches: Annotated[str, typer.Option(help="Rows of a batch, with commas.")] = "1,8,32",
    steps: Annotated[str, typer.Option(help="Steps of the longest row, with commas.")] = "50,200",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            help="fused, int8, tf2onnx, torch, 'Keras predict', 'Keras call'; repeated.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="For one operator, of every form.")] = 1,
    seconds: Annotated[float, typer.Option(help="For each size.")] = 2.0,
    seed: Seed = 0,
    output: Annotated[Path | None, output_option("A folder for bench.json, bench.md and bench.png.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Time a model in Keras, torch and onnxruntime side by side in one run: medians and ratios."""
    from biport.app.bench.command import run_command
    from biport.app.open_source import read_source

    graph, _ = read_source(source)
    data, text = run_command(
        graph,
        name=source.path.name,
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
    return Result(data, text)


@command(
    PANEL,
    "biport matrix --quick -o found/",
    "biport matrix --cell LSTM --mask right --form torch",
    "biport matrix --quick --mutate",
)
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
    device: Device = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    seed: Seed = 0,
    output: Annotated[
        Path | None, output_option("A folder for matrix.json, matrix.xml (JUnit) and matrix.html.")
    ] = None,
    junit: JUnitFile = None,
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Run every kind of recurrent layer, setting and mask in every form against the float64 oracle."""
    from biport.app.matrix.command import run_command

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
        junit=junit,
        force=force,
        quiet=as_json,
    )
    return Result(data, text, 0 if ok else 1)


def _quiet_frameworks() -> None:
    """Torch before tensorflow, and no warnings about layers that end a mask."""
    import warnings

    warnings.simplefilter("ignore")
    import_torch_first()


@command(PANEL, "biport layers")
def layers(as_json: Json = False) -> Result:
    """Print what is supported, by the names of Keras and torch."""
    from biport.app.support import (
        KERAS_OPERATIONS,
        SUPPORT,
        TORCH_OPERATIONS,
        operations_text,
        support_table,
    )

    data = {
        "layers": [row.to_json() for row in SUPPORT],
        "keras_operations": list(KERAS_OPERATIONS),
        "torch_operations": list(TORCH_OPERATIONS),
    }
    return Result(data, f"{support_table()}\n\n{operations_text()}")
