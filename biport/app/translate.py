"""``biport translate``: texts through a model that ``biport train seq2seq`` has trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biport import bundle
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
    source: Path | None,
    form: str,
    width: int,
    length_penalty: float,
    max_length: int,
) -> tuple[dict[str, Any], str]:
    """Translate texts, or the lines of a file; the results as data and as text, one line each.

    Raises:
        InputError: no texts or two sources of them, no run of a sequence-to-sequence model, or an option is
            none.
    """
    if form not in FORMS:
        raise InputError(Argument("form", form), f": should be one of {', '.join(FORMS)}")
    if bool(texts) == (source is not None):
        raise InputError("give texts, or a file with one text a line")
    lines = list(texts) if source is None else _lines(source)
    recipe = Recipe.from_json(files.read_description(run)["recipe"])
    if recipe.task != "seq2seq":
        raise InputError(f"{run}: is a run of {recipe.task}, not of seq2seq")
    vocabularies = [Vocabulary.load(run / f"{side}_vocabulary.json") for side in ("source", "target")]
    with tempfile.TemporaryDirectory() as folder:
        stepper = _stepper(bundle.read(run / files.MODEL), form, Path(folder))
        translate = Translator(stepper, *vocabularies, max_length=max_length, max_source=recipe.max_length)
        translations = translate(lines, width=width, length_penalty=length_penalty)
    rows = [_row(text, one) for text, one in zip(lines, translations, strict=True)]
    return {"run": str(run), "form": form, "rows": rows}, "\n".join(one.text for one in translations)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text in UTF-8: {error}") from error


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
        "finished": hypothesis.finished,
        "truncated": hypothesis.truncated,
        "unknown": list(translation.unknown),
    }
