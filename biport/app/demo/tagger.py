"""``biport demo tagger``: a tag a step, trained in Keras in three ways of joining the directions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.demo.folder import prepare, trained, write_report
from biport.app.forms import keras_form, onnx_form, torch_form
from biport.app.progress import show_progress
from biport.app.verify import verify
from biport.compare.report import Report
from biport.compare.tolerance import label_agreement
from biport.graph import Graph
from biport.tables import text_table
from biport.training.data import TaskData, load_data
from biport.training.recipe import Recipe
from biport.training.recipes import RECIPES

JOINS = ("concat", "learned", "attention")
OWN_FILES = (*(f"{join}-run" for join in JOINS), *(f"{join}.onnx" for join in JOINS), "report.json")


@dataclass(frozen=True)
class TaggerRow:
    """One form of one model."""

    join: str
    form: str
    accuracy: float
    agreement: float
    error: float


@dataclass(frozen=True)
class TaggerResult:
    """What the demo measured.

    Args:
        rows: one for each model and form; the oracle's is the first of a model.
        reports: the verdicts, by how the directions are joined.
        output: the folder with all files.
        seconds: how long everything took.
    """

    rows: Sequence[TaggerRow]
    reports: dict[str, Report]
    output: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all forms compute the same."""
        return all(report.ok for report in self.reports.values())

    @property
    def text(self) -> str:
        """The table and the verdict."""
        cells = [("directions", "form", "accuracy", "agreement", "max error")]
        cells += [
            (row.join, row.form, f"{row.accuracy:.2%}", f"{row.agreement:.2%}", f"{row.error:.1e}")
            for row in self.rows
        ]
        verdicts = ", ".join(f"{join} {report.verdict}" for join, report in self.reports.items())
        written = f"written to {self.output} in {self.seconds:.0f} s"
        return "\n".join([*text_table(cells, ">"), "", f"verdict: {verdicts}", written])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "ok": self.ok,
            "rows": [vars(row) for row in self.rows],
            "reports": {join: report.to_json() for join, report in self.reports.items()},
            "output": str(self.output),
            "seconds": self.seconds,
        }


def run_demo(
    output: Path, *, epochs: int | None, seed: int, force: bool, quiet: bool, limit: int | None = None
) -> TaggerResult:
    """Train a tagger for each way of joining the directions, port it, and compare all forms.

    Raises:
        InputError: ``output`` is not an empty folder; with ``force``, it holds files that are not the demo's.
        MissingDependencyError: a framework is not installed.
    """
    start = time.perf_counter()
    prepare(output, OWN_FILES, force)
    rows: list[TaggerRow] = []
    reports: dict[str, Report] = {}
    for join in JOINS:
        recipe = _recipe(join).but(seed=seed, epochs=epochs, limit=limit)
        with show_progress(quiet) as display:
            display.step(f"training in Keras, directions joined by {join}")
        graph = trained(recipe, output / f"{join}-run", quiet=quiet)
        with show_progress(quiet) as display:
            display.step(f"porting it and running all forms ({join})")
            reports[join], measured = _measured(graph, load_data(recipe), join, output)
        rows += measured
    result = TaggerResult(rows, reports, output, time.perf_counter() - start)
    write_report(output, result.to_json())
    return result


def _recipe(join: str) -> Recipe:
    recipe = RECIPES["tags"]
    return recipe.but(settings={**recipe.settings, "join": join})


def _measured(graph: Graph, data: TaskData, join: str, output: Path) -> tuple[Report, list[TaggerRow]]:
    import export
    import keras_side
    import torch_side
    from biport import reference

    export.write(graph, output / f"{join}.onnx")
    session = export.Session(output / f"{join}.onnx", "cpu")
    forms = {
        "Keras": keras_form("keras", keras_side.write(graph)),
        "PyTorch": torch_form("torch", torch_side.write(graph)),
        "ONNX fused": onnx_form("onnx", session),
    }
    batch = data.arrange(tuple(np.asarray(column) for column in data.test))
    arrays = list(batch.inputs)
    report = verify(*forms.values(), inputs=arrays, float64=True)
    lines = {line.form: line for line in report.lines if line.level == "L2"}
    exact = reference.run(graph, arrays)[0]
    rows = [TaggerRow(join, "oracle (numpy float64)", _accuracy(exact, batch), 1.0, 0.0)]
    for title, form in forms.items():
        probabilities, line = form.run(arrays)[0], lines[form.name]
        same, _ = label_agreement(probabilities, exact, line.allowed)
        rows.append(TaggerRow(join, title, _accuracy(probabilities, batch), same, line.error.maximum))
    return report, rows


def _accuracy(probabilities: np.ndarray, batch: Any) -> float:
    """The share of right tags among the steps that are no padding."""
    several = probabilities.shape[-1] > 1
    tags = probabilities.argmax(axis=-1) if several else probabilities[..., 0] > 0.5
    return float(((tags == batch.truth) * batch.weight).sum() / batch.weight.sum())
