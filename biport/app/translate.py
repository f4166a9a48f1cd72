"""``biport translate``: texts through a model that ``biport train seq2seq`` has trained."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biport import bundle
from biport.app.progress import show_progress
from biport.data.tables import read_pairs
from biport.data.text_rows import read_texts
from biport.data.vocabulary import Vocabulary
from biport.decoding.stepper import Stepper, reference_stepper
from biport.decoding.texts import Translation, Translator
from biport.errors import Argument, InputError
from biport.graph import Graph
from biport.rewrite.encoder_decoder import split
from biport.training import folder as files
from biport.training.recipe import Recipe

FORMS = ("onnx", "torch", "keras", "numpy")


def run_command(
    run: Path,
    texts: Sequence[str],
    *,
    inputs: Path | None,
    column: str | None,
    form: str,
    width: int,
    length_penalty: float,
    max_length: int,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Translate texts, or those of a file; the results as data and as text, one line each.

    Raises:
        InputError: no texts or two sources of them, no run of a sequence-to-sequence model, or an option is
            none.
    """
    if form not in FORMS:
        raise InputError(Argument("form", form), f": should be one of {', '.join(FORMS)}")
    if bool(texts) == (inputs is not None):
        raise InputError("give texts, or a file of them as ", Argument("inputs"))
    if column is not None and (inputs is None or inputs.suffix not in (".csv", ".jsonl")):
        raise InputError(Argument("column", column), ": of a .csv or .jsonl file alone")
    lines = list(texts) if inputs is None else _texts(inputs, column)
    recipe = Recipe.from_json(files.read_description(run)["recipe"])
    if recipe.task != "seq2seq":
        raise InputError(f"{run}: is a run of {recipe.task}, not of seq2seq")
    vocabularies = [Vocabulary.load(run / f"{side}_vocabulary.json") for side in ("source", "target")]
    with tempfile.TemporaryDirectory() as folder, show_progress(quiet) as display:
        stepper = _stepper(bundle.read(run / files.MODEL), form, Path(folder))
        translate = Translator(stepper, *vocabularies, max_length=max_length, max_source=recipe.max_length)
        translations = translate(lines, width=width, length_penalty=length_penalty)
        display.line(_summary(translations))
    rows = [_row(text, one) for text, one in zip(lines, translations, strict=True)]
    return {"run": str(run), "form": form, "rows": rows}, "\n".join(one.text for one in translations)


def _summary(translations: Sequence[Translation]) -> str:
    """What there is to know before one trusts them."""
    hypotheses = [one.hypothesis for one in translations]
    counts = {
        "with unknown tokens": sum(bool(one.unknown) for one in translations),
        "unfinished": sum(not hypothesis.finished for hypothesis in hypotheses),
        "of a source that was cut": sum(hypothesis.truncated for hypothesis in hypotheses),
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    closest = min((hypothesis.margin for hypothesis in hypotheses), default=math.inf)
    if math.isfinite(closest):
        told.append(f"the closest choice was made by {closest:.2g}")
    return ", ".join([f"{len(translations)} texts", *told])


def _texts(path: Path, column: str | None) -> list[str]:
    return read_pairs(path).sources if path.suffix == ".tsv" else [*read_texts(path, column)]


def _stepper(graph: Graph, form: str, folder: Path) -> Stepper:
    if form == "numpy":
        return reference_stepper(split(graph), "float32")
    if form == "onnx":
        import export

        return export.stepper(export.write_decoder(graph, folder / "decoder"), "cpu")
    if form == "torch":
        import torch_side

        return torch_side.stepper(graph)
    import keras_side

    return keras_side.stepper(graph)


def _row(source: str, translation: Translation) -> dict[str, Any]:
    hypothesis = translation.hypothesis
    return {
        "source": source,
        "text": translation.text,
        "score": hypothesis.score,
        "margin": hypothesis.margin if math.isfinite(hypothesis.margin) else None,
        "finished": hypothesis.finished,
        "truncated": hypothesis.truncated,
        "unknown": list(translation.unknown),
    }
