"""Mistakes planted on purpose, one at a time: would the matrix notice?

Each of `biport.compare.mistakes` is planted where one side makes its form of a model: what the side writes,
or reads, is another graph than the one it was handed, or its form mixes up its inputs. The model's oracle
knows nothing of it, so a matrix that reports no difference has missed it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from biport.app.matrix.cases import Model, Selection, models, random_batch
from biport.app.matrix.pool import each
from biport.app.matrix.run import SEAMS, Arrays, ModelRun, missing_forms
from biport.compare.mistakes import MISTAKES, Mistake
from biport.compare.tolerance import Verdict
from biport.errors import BiportError
from biport.graph import Graph

FORM = {
    "Keras write": "Keras",
    "Keras read": "torch",
    "torch write": "torch",
    "ONNX write": "ONNX fused",
}
"""The form a mistake at each seam shows in: what is read from Keras is what torch is handed."""


@dataclass(frozen=True)
class Detection:
    """What became of one mistake at one seam.

    Args:
        mistake: its name.
        seam: where it was planted, of `SEAMS`.
        models: in how many of the models it changes anything.
        example: the first layer that was reported as different, by its numbers; empty if none was.
    """

    mistake: str
    seam: str
    models: int
    example: str

    @property
    def detected(self) -> bool:
        """Whether the matrix reported it at all."""
        return bool(self.example)


def plant_mistakes(
    selection: Selection,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Detection]:
    """Plant every mistake at every seam that can be run here, and run the models it changes.

    Args:
        selection: which models and masks the matrix may use to detect them.
        seed: of the inputs.
        jobs: how many processes share the work.
        progress: called after each mistake with how many are done, how many there are, and its name.
    """
    seams = [seam for seam in SEAMS if FORM[seam] not in missing_forms()]
    if "Keras" in missing_forms():
        seams = [seam for seam in seams if not seam.startswith("Keras")]
    # What only reads a model is given no inputs.
    todo = [
        (index, seam)
        for index, mistake in enumerate(MISTAKES)
        for seam in seams
        if seam != "Keras read" or not mistake.mixes_inputs
    ]
    detections = []
    for done, detection in enumerate(each(partial(_plant, selection, seed), todo, jobs), start=1):
        progress(done, len(todo), f"{detection.mistake} ({detection.seam})")
        detections.append(detection)
    return [detection for detection in detections if detection.models]


@cache
def _models(selection: Selection) -> tuple[Model, ...]:
    """The models mistakes are looked for in: those of the default activations, and of one other pair."""
    pairs = ("tanh", "sigmoid"), ("relu", "hard_sigmoid")
    every = models(dataclasses.replace(selection, quick=False))
    return tuple(model for model in every if model.bias and model.activations in pairs)


def _plant(selection: Selection, seed: int, planted: tuple[int, str]) -> Detection:
    """Plant the mistake of that index in `MISTAKES`, which other processes have too, at that seam."""
    index, seam = planted
    with tempfile.TemporaryDirectory(prefix="biport-matrix-") as folder:
        return _detect(MISTAKES[index], seam, selection, Path(folder), seed)


def _detect(mistake: Mistake, seam: str, selection: Selection, folder: Path, seed: int) -> Detection:
    count, example = 0, ""
    for model in _models(selection):
        inputs = random_batch(model, selection, seed)
        if not _changes(mistake, model.graph, inputs.arrays):
            continue
        count += 1
        if example:
            continue
        run = ModelRun(model, inputs, folder, seams={seam: mistake})
        # Weights compared bit for bit would tell of a writer that its reader does not agree with; a wrong
        # step made alike by both can be told by the numbers alone.
        numbers = (result for result in run.results([FORM[seam]]) if result.level != "L0")
        different = next((result for result in numbers if result.verdict is Verdict.DIFFERENT), None)
        if different is not None:
            example = f"{model.name}: {different.layer}"
    return Detection(mistake.name, seam, count, example)


def _changes(mistake: Mistake, graph: Graph, arrays: Arrays) -> bool:
    """Whether it can be made with a model, and anything is another one then."""
    try:
        given = mistake.inputs(graph, arrays)
        moved = any(one.tobytes() != two.tobytes() for one, two in zip(given, arrays, strict=True))
        return moved or mistake.graph(graph) != graph
    except BiportError:
        return False


def score(detections: Sequence[Detection]) -> tuple[int, int]:
    """How many of the planted mistakes were detected, and how many were planted."""
    return sum(detection.detected for detection in detections), len(detections)


def missed(detections: Sequence[Detection]) -> list[Detection]:
    """The mistakes nobody noticed."""
    return [detection for detection in detections if not detection.detected]
