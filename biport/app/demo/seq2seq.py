"""``biport demo seq2seq``: dates written as people do to ISO 8601, trained in Keras, decoded by all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.app.demo.folder import prepare, trained, write_report
from biport.app.progress import show_progress
from biport.data import Vocabulary, load_dates
from biport.decoding import Agreement, Hypothesis, Stepper, Translator, agreement, reference_stepper, split
from biport.graph import Graph
from biport.tables import text_table
from biport.training.data import EVALUATION_ROWS
from biport.training.recipes import RECIPES

OWN_FILES = ("run", "onnx", "report.json")
ORACLE_ROWS = 50
"""The oracle, in numpy, takes its time."""
WIDTH = 4
ODD = ("", "the 5th of Octember 2021", "1 May 2001")
"""A source without a token, one with a month that there is not, a short one."""


@dataclass(frozen=True)
class DecodedRow:
    """How one form decodes."""

    form: str
    search: str
    exact: float
    agreement: Agreement
    seconds: float


@dataclass(frozen=True)
class Seq2SeqResult:
    """What the demo measured.

    Args:
        rows: one for each form and search.
        examples: sources, what became of them, and the margin of the closest choice.
        output: the folder with all files.
        seconds: how long everything took.
    """

    rows: Sequence[DecodedRow]
    examples: Sequence[tuple[str, str, float]]
    output: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all forms write the same, but for ties."""
        return all(row.agreement.ok for row in self.rows)

    @property
    def text(self) -> str:
        """The table, some examples and the verdict."""
        cells = [("form", "search", "exact", "seconds", "with Keras")]
        cells += [
            (row.form, row.search, f"{row.exact:.2%}", f"{row.seconds:.2f}", str(row.agreement))
            for row in self.rows
        ]
        shown = [
            f"  {source!r:<44} {text!r:<14} margin {margin:.2g}" for source, text, margin in self.examples
        ]
        verdict = "all forms write the same" if self.ok else "FORMS DIFFER"
        written = f"written to {self.output} in {self.seconds:.0f} s"
        return "\n".join([*text_table(cells, ">"), "", *shown, "", f"verdict: {verdict}", written])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        rows = [
            vars(row) | {"agreement": {**vars(row.agreement), "ok": row.agreement.ok}} for row in self.rows
        ]
        examples = [{"source": source, "text": text} for source, text, _ in self.examples]
        return {
            "ok": self.ok,
            "rows": rows,
            "examples": examples,
            "output": str(self.output),
            "seconds": self.seconds,
        }


def run_demo(
    output: Path, *, epochs: int | None, seed: int, force: bool, quiet: bool, limit: int | None = None
) -> Seq2SeqResult:
    """Train in Keras, take the model apart, and decode the test dates with Keras, torch and onnxruntime.

    Raises:
        InputError: ``output`` is not an empty folder; with ``force``, it holds files that are not the demo's.
        MissingDependencyError: a framework is not installed.
    """
    start = time.perf_counter()
    prepare(output, OWN_FILES, force)
    recipe = RECIPES["dates"].but(seed=seed, epochs=epochs, limit=limit)
    graph = trained(recipe, output / "run", quiet=quiet)
    pairs = load_dates(recipe.limit or 0, EVALUATION_ROWS, EVALUATION_ROWS, seed).test
    with show_progress(quiet) as display:
        display.step("taking the model apart, for each framework")
        translators = _translators(graph, output)
        rows: list[DecodedRow] = []
        truths: dict[str, list[Hypothesis]] = {}
        for form, translate in translators.items():
            for search, width in (("greedy", 1), (f"beam of {WIDTH}", WIDTH)):
                display.step(f"decoding {len(pairs)} dates: {form}, {search}")
                rows.append(_decoded(form, search, width, translate, pairs, truths))
        display.step("decoding a few dates with the oracle")
        oracle = _translator(reference_stepper(split(graph)), output)
        rows.append(_decoded("oracle (float64)", "greedy", 1, oracle, pairs.part(range(ORACLE_ROWS)), truths))
        examples = [*pairs.sources[:5], *ODD]
        translations = translators["onnxruntime"](examples)
    shown = [
        (source, translation.text, translation.hypothesis.margin)
        for source, translation in zip(examples, translations, strict=True)
    ]
    result = Seq2SeqResult(rows, shown, output, time.perf_counter() - start)
    write_report(output, result.to_json())
    return result


def _translators(graph: Graph, output: Path) -> dict[str, Translator]:
    import export
    import keras_side
    import torch_side

    export.write_decoder(graph, output / "onnx")
    steppers = {
        "Keras": keras_side.stepper(graph),
        "PyTorch": torch_side.stepper(graph),
        "onnxruntime": export.stepper(output / "onnx", "cpu"),
    }
    return {name: _translator(stepper, output) for name, stepper in steppers.items()}


def _translator(stepper: Stepper, output: Path) -> Translator:
    source, target = (
        Vocabulary.load(output / "run" / f"{side}_vocabulary.json") for side in ("source", "target")
    )
    return Translator(stepper, source, target, max_length=12)


def _decoded(
    form: str,
    search: str,
    width: int,
    translate: Translator,
    pairs: Any,
    truths: dict[str, list[Hypothesis]],
) -> DecodedRow:
    start = time.perf_counter()
    translations = translate(pairs.sources, width=width)
    seconds = time.perf_counter() - start
    hypotheses = [one.hypothesis for one in translations]
    truth = truths.setdefault(search, hypotheses)[: len(hypotheses)]
    right = sum(one.text == target for one, target in zip(translations, pairs.targets, strict=True))
    return DecodedRow(form, search, right / len(translations), agreement(hypotheses, truth), seconds)
