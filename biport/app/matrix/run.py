"""Running the matrix: every form of every model against the float64 oracle, judged layer by layer."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from biport import reference
from biport.app.forms import Arrays, Form, Run, keras_form, onnx_form, torch_form
from biport.app.matrix.cases import Case, MatrixInputs, Model, Selection, models, random_batch
from biport.app.matrix.operations import BEYOND_TF2ONNX
from biport.app.matrix.pool import each
from biport.compare.mistakes import Mistake
from biport.compare.tolerance import (
    L1_ALLOWED,
    Error,
    Verdict,
    float32_floor,
    judge_float32,
    judge_float64,
    measure,
)
from biport.errors import InputError
from biport.graph import Graph, weight_differences

FORMS = ("Keras", "torch", "ONNX fused", "ONNX tf2onnx")
NEEDS = {
    "Keras": ("keras", "tensorflow"),
    "torch": ("torch",),
    "ONNX fused": ("onnx_ir", "onnxruntime"),
    "ONNX tf2onnx": ("keras", "tensorflow", "tf2onnx", "onnxruntime"),
}
"""The packages without which a form cannot be run."""


SEAMS = ("Keras write", "Keras read", "torch write", "ONNX write")
"""Where a mistake can be planted: in what a form is made from, and in what it is given."""
SOUND = Mistake("nothing is wrong")


@dataclass(frozen=True)
class Result:
    """One layer in one form at one level.

    Args:
        model: the model's name.
        cell: of `biport.app.matrix.cases.CELLS`.
        direction: of `biport.app.matrix.cases.DIRECTIONS`, or a family of operations.
        output: what the layer gives, or an operation's name.
        states: ``"none"``, ``"returned"`` or ``"given"``; empty for an operation.
        form: of `FORMS`, or ``"Keras read"`` and ``"torch read"`` at level L0.
        level: ``"L0"``, ``"L1"`` or ``"L2"``.
        verdict: the worst over all patterns.
        errors: the largest error of each pattern of mask; infinite where the form failed.
        allowed: the most that is called the same.
        note: what is wrong when it is not a matter of size.
    """

    model: str
    cell: str
    direction: str
    output: str
    states: str
    form: str
    level: str
    verdict: Verdict
    errors: Mapping[str, float]
    allowed: float
    note: str = ""

    @property
    def layer(self) -> str:
        """Which layer or operation of its model it is of."""
        return f"{self.output}, states {self.states}" if self.states else self.output

    @property
    def maximum(self) -> float:
        """The largest error of all patterns."""
        return max(self.errors.values(), default=0.0)


@dataclass(frozen=True)
class Outcome:
    """What a run of the matrix found.

    Args:
        results: one for each layer, form and level.
        missing: the forms that could not be run, and the package that is not installed.
        seconds: how long it took.
        models: how many models were run.
    """

    results: Sequence[Result]
    missing: Mapping[str, str]
    seconds: float
    models: int

    @property
    def differences(self) -> list[Result]:
        """The results that are not the same."""
        return [result for result in self.results if result.verdict is Verdict.DIFFERENT]

    @property
    def ill_conditioned(self) -> list[Result]:
        """The results that say nothing: the model amplifies rounding."""
        return [result for result in self.results if result.verdict is Verdict.ILL_CONDITIONED]

    @property
    def ok(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return bool(self.results) and not self.differences


def missing_forms() -> dict[str, str]:
    """The forms that cannot be run here, each with a package that is not installed."""
    missing = {}
    for form, packages in NEEDS.items():
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        if absent:
            missing[form] = absent[0]
    return missing


def run_matrix(
    selection: Selection,
    *,
    forms: Sequence[str] = (),
    device: str = "cpu",
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Outcome:
    """Run the selected part of the matrix.

    Args:
        selection: which models and masks.
        forms: of `FORMS`; by default all that are installed.
        device: ``"cpu"`` or ``"cuda"``, for torch and onnxruntime; Keras stays on the CPU.
        seed: of the inputs.
        jobs: how many processes share the work.
        progress: called after each model with how many are done, how many there are, and its name.

    Raises:
        InputError: a form is none of `FORMS`, or none of them can be run here.
    """
    start = time.perf_counter()
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise InputError(f"matrix: form should be one of {', '.join(FORMS)}; found {unknown[0]!r}")
    missing = missing_forms()
    wanted = [form for form in (forms or FORMS) if form not in missing]
    if not wanted:
        raise InputError(f"matrix: no form can be run here; not installed: {sorted(set(missing.values()))}")
    todo = list(models(selection))
    results: list[Result] = []
    run = partial(_run_model, selection, tuple(wanted), device, seed)
    for done, (model, several) in enumerate(zip(todo, each(run, todo, jobs), strict=True), start=1):
        results += several
        progress(done, len(todo), model.name)
    absent = {form: package for form, package in missing.items() if form in (forms or FORMS)}
    return Outcome(results, absent, time.perf_counter() - start, len(todo))


def _run_model(
    selection: Selection, forms: Sequence[str], device: str, seed: int, model: Model
) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="biport-matrix-") as folder:
        return ModelRun(model, random_batch(model, selection, seed), Path(folder), device).results(forms)


class ModelRun:
    """One model, its inputs and its oracle.

    Args:
        model: what is run.
        inputs: what it is given.
        folder: where ONNX files go.
        device: for torch and onnxruntime.
        seams: the mistakes that are planted, by `SEAMS`; none by default.
    """

    def __init__(
        self,
        model: Model,
        inputs: MatrixInputs,
        folder: Path,
        device: str = "cpu",
        seams: Mapping[str, Mistake] | None = None,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.folder = folder
        self.device = device
        self.seams = dict.fromkeys(SEAMS, SOUND) | dict(seams or {})
        self.wide = [array.astype("float64") if array.dtype.kind == "f" else array for array in inputs.arrays]
        self.exact = model.graph.astype("float64")
        self.oracle = reference.run(self.exact, self.wide)
        self.rounded = reference.run(model.graph, inputs.arrays, "float32")
        self.floor = float32_floor(model.graph)

    def results(self, forms: Sequence[str]) -> list[Result]:
        """The results of ``forms``; one that fails differs in every layer."""
        results: list[Result] = []
        try:
            graph, live = self._through_keras()
        except Exception as error:  # Whatever a framework raises over a model of ours is a finding.
            return [self._failed(case, form, "L2", error) for form in forms for case in self.model.cases]
        if live is not None:
            results += self._weights("Keras read", self.model.graph, graph)
        for form in forms:
            for level, make in self._runners(form, graph, live).items():
                results += self._judged(form, level, make)
        return results + ([*self._read_back(graph)] if "torch" in forms else [])

    def _through_keras(self) -> tuple[Graph, Any]:
        """The graph read from a live Keras model, which the other sides are handed, and that model.

        Without Keras they are handed the matrix's own graph.
        """
        if "Keras" in missing_forms():
            return self.model.graph, None
        import keras_side

        live = keras_side.write(self.seams["Keras write"].graph(self.model.graph))
        return self._planted("Keras read", keras_side.read(live)), live

    def _planted(self, seam: str, graph: Graph) -> Graph:
        """``graph`` with the mistake of a seam; the model's own where that cannot be made in what was read.

        Keras has some operations in other words: a reciprocal is read as a quotient.
        """
        mistake = self.seams[seam]
        changed = mistake.graph(graph)
        elsewhere = changed is graph and mistake is not SOUND and not mistake.mixes_inputs
        return mistake.graph(self.model.graph) if elsewhere else changed

    def _runners(self, form: str, graph: Graph, live: Any) -> dict[str, Callable[[], Run]]:
        """For each level what makes the form ready to run; none where it is not made for that."""
        if form == "ONNX tf2onnx" and self.model.direction == BEYOND_TF2ONNX:
            return {}
        match form:
            case "Keras":
                opened, given = lambda: self._keras(live), self.seams["Keras write"].inputs
            case "torch":
                opened, given = lambda: self._torch(graph), self.seams["torch write"].inputs
            case "ONNX fused":
                opened, given = lambda: self._fused(graph), self.seams["ONNX write"].inputs
            case _:
                opened, given = lambda: self._tf2onnx(live), SOUND.inputs

        def runner(level: str) -> Run:
            form = opened()
            run = form.run
            if level == "L1":
                assert not isinstance(form.run_float64, str)
                run = form.run_float64(self.model.graph)
            return lambda arrays: run(given(graph, arrays))

        levels = ("L2", "L1") if form in ("Keras", "torch") else ("L2",)
        return {level: partial(runner, level) for level in levels}

    def _keras(self, live: Any) -> Form:
        return keras_form("Keras", live)

    def _torch(self, graph: Graph) -> Form:
        import torch_side

        written = self._planted("torch write", graph)
        return torch_form("torch", torch_side.write(written).to(self.device), written)

    def _fused(self, graph: Graph) -> Form:
        import export

        path = self.folder / "fused.onnx"
        export.write(self._planted("ONNX write", graph), path, overwrite=True, vectors=False)
        return onnx_form("ONNX fused", export.Session(path, device=self.device))

    def _tf2onnx(self, live: Any) -> Form:
        import export

        path = self.folder / "tf2onnx.onnx"
        export.write_tf2onnx(live, path, overwrite=True)
        return onnx_form("ONNX tf2onnx", export.Session(path, device="cpu"))

    def _judged(self, form: str, level: str, make: Callable[[], Run]) -> Iterator[Result]:
        arrays = self.wide if level == "L1" else self.inputs.arrays
        try:
            outputs = make()(arrays)
        except Exception as error:  # A form that cannot be made or run differs, whatever it raised.
            yield from (self._failed(case, form, level, error) for case in self.model.cases)
            return
        for case in self.model.cases:
            yield self._result(case, form, level, outputs)

    def _result(self, case: Case, form: str, level: str, outputs: Arrays) -> Result:
        errors = {pattern: self._error(case, outputs, rows) for pattern, rows in self.inputs.rows.items()}
        # What rounding does to the layer is asked over all patterns: three rows of one may be lucky.
        own = self._error(case, self.rounded, slice(None))
        verdicts = []
        allowed = 0.0
        for error in errors.values():
            if level == "L1":
                verdict, allowed = judge_float64(error, self._float64_allowed(form), own)
            else:
                verdict, allowed = judge_float32(error, own, None, self.floor)
            verdicts.append(verdict)
        worst = max(verdicts, key=[Verdict.SAME, Verdict.ILL_CONDITIONED, Verdict.DIFFERENT].index)
        note = next((error.note for error in errors.values() if error.note), "")
        maxima = {pattern: error.maximum for pattern, error in errors.items()}
        return self._of(case, form, level, worst, maxima, allowed, note)

    def _float64_allowed(self, form: str) -> float:
        if form != "Keras":
            return L1_ALLOWED
        import keras_side

        return keras_side.float64_allowed(self.model.graph)

    def _error(self, case: Case, outputs: Arrays, rows: slice) -> Error:
        """The worst of the layer's outputs and states."""
        if len(outputs) != len(self.oracle):
            note = f"{len(outputs)} outputs instead of {len(self.oracle)}"
            return Error(float("inf"), float("inf"), note=note)
        errors = [
            measure({"": outputs[index][rows]}, {"": self.oracle[index][rows]})
            if outputs[index].shape[:1] == self.oracle[index].shape[:1]
            else measure({"": outputs[index]}, {"": self.oracle[index]})
            for index in case.positions
        ]
        return max(errors, key=lambda error: error.maximum)

    def _read_back(self, graph: Graph) -> Iterator[Result]:
        import torch_side

        try:
            again = torch_side.read(torch_side.write(self._planted("torch write", graph)))
        except Exception as error:  # As in `_judged`.
            yield from (self._failed(case, "torch read", "L0", error) for case in self.model.cases)
            return
        yield from self._weights("torch read", graph, again)

    def _weights(self, form: str, written: Graph, read: Graph) -> Iterator[Result]:
        """Level L0: the weights read back are those that were written, bit for bit."""
        differing = weight_differences(written, read)
        weights = written.weights()
        for case in (case for case in self.model.cases if case.node in weights):
            own = [path for path in differing if path.startswith(f"{case.node}.")]
            verdict = Verdict.DIFFERENT if own else Verdict.SAME
            note = f"weights differ: {', '.join(own[:3])}" if own else ""
            yield self._of(case, form, "L0", verdict, {}, 0.0, note)

    def _failed(self, case: Case, form: str, level: str, error: Exception) -> Result:
        note = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        errors = dict.fromkeys(self.inputs.rows, float("inf"))
        return self._of(case, form, level, Verdict.DIFFERENT, errors, 0.0, note)

    def _of(
        self,
        case: Case,
        form: str,
        level: str,
        verdict: Verdict,
        errors: Mapping[str, float],
        allowed: float,
        note: str,
    ) -> Result:
        model = self.model
        return Result(
            model.name,
            model.cell,
            model.direction,
            case.output,
            case.states,
            form,
            level,
            verdict,
            errors,
            allowed,
            note,
        )
