"""``biport run`` and ``translate``: a model at work."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biport.app.arrays import load_inputs, save_arrays
from biport.app.cli.app import Result, command, standard_output
from biport.app.cli.ctc_options import BeamWidth, takes_characters
from biport.app.cli.image_options import takes_images
from biport.app.cli.logs import tell
from biport.app.cli.options import Device, Force, Json, input_option, output_option
from biport.app.cli.ray_options import ActorCount, Address, OnRay, PartRows
from biport.app.cli.run_options import (
    Delimiter,
    EndToken,
    IdColumn,
    InputFormat,
    Resume,
    SkipBad,
    SourceVocabulary,
    StartToken,
    TargetVocabulary,
    TextColumn,
    Truncate,
)
from biport.app.cli.text_options import takes_texts
from biport.errors import InputError
from biport.files import check_target

if TYPE_CHECKING:
    from biport.app.ctc import CtcOptions
    from biport.app.texts import TextOptions
    from biport.data.images import ImageSettings

PANEL = "Models at work"
OF_TEXTS = "--vocabulary, --maxlen and --padding"
OF_CORPORA = "--text, --format, --delimiter, --id, --skip-bad, --resume"


@command(
    PANEL,
    'biport run model.onnx "a fine film"',
    "biport run model.onnx --input reviews.csv --text review -o scores.csv --skip-bad bad.csv",
    "biport run model.onnx --input reviews.csv -o scores.csv --resume",
    "biport run model.onnx --input - --format jsonl -o -",
    "biport run model.onnx --input corpus.parquet -o scored --ray --actors 4",
    "biport run model.onnx photo.png",
    "biport run model.onnx --input images/ -o texts.csv",
    "biport run model.onnx --input images/ -o texts.csv --beam-width 10",
    "biport run model.onnx --input tokens.npz -o out.npz",
)
@takes_images
@takes_texts
@takes_characters
def run(
    model: Annotated[Path, typer.Argument(help="An .onnx file, or a folder of biport.", metavar="MODEL")],
    text_options: TextOptions,
    images: ImageSettings,
    ctc_options: CtcOptions,
    texts: Annotated[
        list[str] | None, typer.Argument(help="What to run it on: texts, or pictures.", metavar="TEXT...")
    ] = None,
    inputs: Annotated[
        Path | None,
        input_option(
            "Texts in a .txt, .csv, .tsv, .jsonl or .parquet, a folder of .parquet, or - for standard input; "
            "a .png or .jpg, or a folder of them; or an .npz of inputs by name, an .npy for one."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        output_option(
            "An .npz for the outputs, by name; .csv, .tsv or .jsonl for a row a text, picture or row of an "
            "array, or - for standard output; of .parquet a folder."
        ),
    ] = None,
    text: TextColumn = None,
    format: InputFormat = None,
    delimiter: Delimiter = None,
    id: IdColumn = None,
    beam_width: BeamWidth = None,
    truncate: Truncate = False,
    skip_bad: SkipBad = None,
    resume: Resume = False,
    ray: OnRay = False,
    actors: ActorCount = None,
    address: Address = None,
    part_rows: PartRows = None,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Run an ONNX model, or what a folder of biport is in ONNX, on texts, pictures, or the arrays of a file.

    Results keep the other columns of a file of texts, or the names of pictures, and the number of each row.
    """
    from biport.app.run import are_images, of_images, of_texts, run_images, run_texts
    from biport.app.run_parquet import ParquetCorpus, Scale, check_no_parquet, is_parquet, run_parquet

    ctc_options = dataclasses.replace(ctc_options, beam_width=beam_width)
    scale = Scale(ray, actors, address, part_rows)
    if bool(texts) == (inputs is not None):
        raise InputError("give texts, or a file of texts or arrays as --input")
    corpus = {"column": text, "id": id, "skip_bad": skip_bad, "resume": resume}
    asked = any((*corpus.values(), format, delimiter))
    columnar = inputs is not None and is_parquet(inputs)
    if not columnar:
        check_no_parquet(scale)
    pictures = are_images(texts or ()) if inputs is None else of_images(inputs, format) and not columnar
    if images.given and not pictures:
        raise InputError("--image-scale and its like go with pictures")
    if texts:
        if output is not None or asked:
            raise InputError(f"{OF_CORPORA} and --output go with a file of texts, --input")
        if not pictures:
            return Result(*run_texts(model, texts, device, truncate, text_options, ctc_options))
        if truncate or text_options.given:
            raise InputError(f"--truncate, {OF_TEXTS} go with texts")
        return Result(*run_images(model, texts, device, images, ctc_options))
    assert inputs is not None
    settings = corpus | {"truncate": truncate, "overwrite": force}
    if columnar:
        if ctc_options.given:
            raise InputError(f"{inputs}: export the model with --characters to run it over Parquet")
        if beam_width is not None:
            raise InputError(
                f"{inputs}: --beam-width goes with other files than Parquet, which is read greedily"
            )
        if format or delimiter:
            raise InputError(f"{inputs}: --format and --delimiter go with other files than Parquet")
        parquet = ParquetCorpus(inputs, output, settings)
        return Result(*run_parquet(model, parquet, scale, device, as_json, text_options))
    if pictures:
        not_of_pictures = {"--text": text, "--delimiter": delimiter, "--truncate": truncate}
        if any(not_of_pictures.values()) or text_options.given:
            raise InputError(f"{inputs}: {', '.join(not_of_pictures)}, {OF_TEXTS} go with texts")
        read: dict[str, Any] = {"images": images, "settings": settings}
        return _run_corpus(model, inputs, output, read, device, as_json, None, ctc_options)
    if of_texts(inputs, format):
        read = {"format": format, "delimiter": delimiter, "settings": settings}
        return _run_corpus(model, inputs, output, read, device, as_json, text_options, ctc_options)
    if asked or truncate:
        raise InputError(f"{inputs}: {OF_CORPORA} and --truncate go with texts")
    if text_options.given:
        raise InputError(f"{inputs}: holds arrays, and {OF_TEXTS} go with texts")
    if output is not None and (str(output) == "-" or output.suffix in (".csv", ".tsv", ".jsonl")):
        read = {"arrays": True, "settings": settings}
        return _run_corpus(model, inputs, output, read, device, as_json, None, ctc_options)
    return _run_arrays(model, inputs, output, device, force, ctc_options)


def _run_corpus(
    model: Path,
    source: Path,
    output: Path | None,
    read: dict[str, Any],
    device: str,
    as_json: bool,
    texts: TextOptions | None,
    ctc: CtcOptions,
) -> Result:
    from biport.app.run import STDOUT, Corpus, run_corpus

    if output is None:
        raise InputError(
            "a corpus needs an --output: a file that ends in .csv, .tsv, .jsonl or .npz, or - for standard "
            "output"
        )
    corpus = Corpus(source, output, **read)
    if str(output) != STDOUT:
        return Result(*run_corpus(model, corpus, device, as_json, None, texts, ctc))
    if as_json:
        raise InputError("--json prints a document where --output - writes rows; take one of them")
    with standard_output() as stream:
        _, text, code = run_corpus(model, corpus, device, as_json, stream, texts, ctc)
    tell(text, text, logging.INFO)
    return Result({}, None, code)


def _run_arrays(
    model: Path, inputs: Path, output: Path | None, device: str, force: bool, ctc: CtcOptions
) -> Result:
    import time

    from biport.app.run import opened

    if output is not None and output.suffix != ".npz":
        raise InputError(f"{output}: outputs are written to a file that ends in .npz, or .csv, .tsv, .jsonl")
    if output is not None:
        check_target(output, force)
    with opened(model, device, ctc=ctc) as session:
        arrays = load_inputs(inputs)
        start = time.perf_counter()
        results = dict(zip(session.output_names, session.run(arrays), strict=True))
        milliseconds = 1000 * (time.perf_counter() - start)
        read = [] if session.alphabet is None else session.decode([*results.values()])
    if output is not None:
        save_arrays(output, results)
    data = {
        "model": str(model),
        "milliseconds": milliseconds,
        "outputs": {name: _plain(array) for name, array in results.items()},
        "output": None if output is None else str(output),
    }
    if read:
        data["texts"] = [vars(one) for one in read]
    lines = [f"{name} {array.dtype} {array.shape}\n{array}" for name, array in results.items()]
    lines = [f"{one.text}  {one.confidence:.4f}" for one in read] or lines
    written = [] if output is None else [f"written to {output}"]
    return Result(data, "\n".join([*lines, f"{milliseconds:.1f} ms", *written]))


def _plain(array: Any) -> dict[str, Any]:
    """An array for JSON, which knows neither NaN nor infinity: those are ``null``."""
    import numpy as np

    values = array.astype(object)
    if array.dtype.kind == "f":
        values[~np.isfinite(array)] = None
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values.tolist()}


@command(
    PANEL,
    'biport translate dates/ "3rd of March, 2021"',
    "biport translate dates/ --input pairs.tsv -o translated.tsv",
    "biport translate run-torch --input texts.csv -o translated.csv --width 4 --form torch",
)
def translate(
    model: Annotated[
        Path,
        typer.Argument(
            help="A folder of biport export --decoder, or one of biport train seq2seq.", metavar="MODEL"
        ),
    ],
    texts: Annotated[list[str] | None, typer.Argument(help="What to translate.", metavar="TEXT...")] = None,
    inputs: Annotated[
        Path | None,
        input_option(
            "Texts in a .txt, .csv or .jsonl, or - for standard input; or a .tsv without names, whose first "
            "column is read."
        ),
    ] = None,
    output: Annotated[
        Path | None, output_option("A .tsv of texts and translations, or .csv, .jsonl or .txt.")
    ] = None,
    text: TextColumn = None,
    format: InputFormat = None,
    source_vocabulary: SourceVocabulary = None,
    target_vocabulary: TargetVocabulary = None,
    start: StartToken = None,
    end: EndToken = None,
    form: Annotated[
        str, typer.Option(help="What runs a training run: onnx, torch, keras or numpy.")
    ] = "onnx",
    width: Annotated[int, typer.Option(min=1, help="Of the beam; 1 is greedy.")] = 1,
    length_penalty: Annotated[float, typer.Option(min=0, help="Of a beam; longer gains.")] = 0.6,
    max_length: Annotated[int, typer.Option(min=1, help="Tokens written at most.")] = 100,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> Result:
    """Write the sequence that a model makes of each text, a line each; a decoder needs onnxruntime alone."""
    from biport.app.decoder import Languages
    from biport.app.translate import Texts, run_command

    return Result(
        *run_command(
            model,
            Texts(texts or (), inputs, text, format),
            output,
            languages=Languages(source_vocabulary, target_vocabulary, start, end),
            form=form,
            device=device,
            search={"width": width, "length_penalty": length_penalty},
            max_length=max_length,
            overwrite=force,
            quiet=as_json,
        )
    )
