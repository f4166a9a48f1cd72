"""Run several forms of one model on the same inputs and compare each with the oracle."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from biport import reference
from biport.app.forms import Form, open_form
from biport.app.gates import (
    Ran,
    compared_labels,
    compared_texts,
    expected_gates,
    expected_numbers,
    label_gates,
    label_notes,
)
from biport.app.judged import (
    coarse_notes,
    differentiated,
    float32_lines,
    float64_lines,
    tolerance_notes,
)
from biport.app.oracle import Arrays, OracleOutputs, graph_oracle
from biport.app.trials import DataColumns, Trials, graph_trials, trials
from biport.app.user_data import Examples
from biport.compare.cases import CASES
from biport.compare.evidence import plain_views
from biport.compare.finding import Finding
from biport.compare.gate import check_limit
from biport.compare.gradients import gradient_lines
from biport.compare.localize import Oracle, locate
from biport.compare.outcomes import Results, errors_of, run_all
from biport.compare.report import Line, Origin, Report
from biport.compare.tolerance import float32_floor
from biport.errors import InputError
from biport.extras import installed_versions
from biport.graph import Graph, Value, weight_differences
from biport.inputs import Inputs, check_inputs

Told = Callable[[str], None]


def verify(
    *sources: Any,
    inputs: Inputs | Examples | str | os.PathLike[str] | None = None,
    seed: int = 0,
    float64: bool = False,
    trace: bool | Literal["auto"] = False,
    gradients: bool = False,
    config: Any = None,
    example: Any = None,
    states: str | None = None,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    expected: Inputs | np.ndarray | str | os.PathLike[str] | None = None,
    text: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    without_keras: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Report:
    """Compare forms of one model with the oracle, the float64 reference of the first form's graph.

    Where biport can read none of them, such as a Keras model with a layer it does not know and the ONNX file
    written of it by way of tf2onnx, the oracle is the first Keras model itself in float64.

    Args:
        sources: two or more of: live Keras models, torch modules, `Graph`, ``export.Session``, paths of
            Keras files, bundles and ``.onnx`` files, `biport.app.forms.Form`. The first that biport can read
            is the source.
        inputs: one array for each input, in order or by name; or a file of texts or arrays, or what
            `biport.app.user_data.read_examples` read of one; by default `random_cases`, which have every
            pattern of mask, or those padded on the right where a form is made for no others.
        seed: of the random inputs.
        float64: also run, at level L1, the forms that can compute in float64.
        trace: also say, for each form that differs, where it first does; see `biport.compare.localize`.
            With ``"auto"`` only if one does, and if biport reads the model.
        gradients: also compare, at level L3, the gradients of the forms that have them, in float64; see
            `biport.compare.gradients`.
        config: the configuration of the Keras files that hold weights alone, see `keras_side.read`.
        example: how ``forward`` is called of the torch modules that do not know their inputs themselves: a
            tensor for each argument, see `torch_side.read`. Their inputs are then its tensors, in order.
        states: what is read of the states that stateful Keras models keep, see `keras_side.read`. These are
            run from the states that are inputs, or from zeros, and are left in the states they were in.
        tolerance: how far a number of any form in float32, the source among them, may be off the oracle's:
            ``max(abs(form - oracle)) <= tolerance``, in the units of the output, in place of the policy's
            allowance (`biport.compare.tolerance`, level L2). Float64 and gradients are judged as ever.
        min_agreement: the least share of rows, or of steps that are no padding, which every form should give
            the label that the source gives; see `biport.compare.agreement`.
        expected: what every form should give, for each row of the inputs: arrays by the names of outputs, in
            order, or an ``.npz``, ``.npy``, ``.csv`` or ``.tsv`` of them. No number of any form may be off
            by more than the tolerance or, without one, than rounding of both allows.
        text: of a file, the column of the texts; see `read_examples`.
        label: of a file, the column of the labels; the report then has the accuracy of every form.
        labels: what the classes of the first output are called, in order, where no form says it. Numbers that
            come out of no softmax or sigmoid are then their logits.
        without_keras: have what biport reads of Keras files stand for them, which a note says: nothing is
            imported that takes seconds to import, and what Keras itself computes is not seen.
        progress: told of each stage of the work.

    Returns:
        The report. A difference is a verdict, not an exception, and so is a form that fails to run, or a gate
        that is missed: `Report.ok` says of all of it together.

    Raises:
        BiportError: a form cannot be opened, none of them can be read, or the inputs do not suit it;
            gradients are asked for, and no form has any; labels are, and no output has any; the data or what
            is expected cannot be read, or are of other rows.
    """
    if len(sources) < 2:
        raise InputError("verify compares two or more forms of a model")
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance should be a number of 0 or more, found {tolerance!r}")
    check_limit("min_agreement", min_agreement, 0, 1)
    opened = []
    for given in sources:
        if isinstance(given, str | os.PathLike):
            progress(f"opening {os.fspath(given)}")
        opened.append(open_form(given, config, example, states, without_keras))
    # Before each form of half precision stands the same model in float32.
    paired = [one for form in opened for one in (form.in_float32, form) if one is not None]
    forms = _with_names(paired)
    asked = _Asked(inputs, DataColumns(text, label, labels), seed, tolerance, min_agreement, expected)
    source = next((form for form in forms if form.graph is not None), None)
    if source is None or source.graph is None:
        if float64 or trace is True or gradients:
            raise InputError("float64, trace and gradients need a form that biport reads the model from")
        return _verify_unread(forms, asked, progress)
    graph = _at_fixed_sizes(source.graph, forms)
    ran = _run_graph(forms, graph, asked, progress)
    cases, notes = ran.trials.cases, _unchecked(forms)
    lines = float32_lines(
        ran.results, forms, source, graph.outputs, ran.floor, ran.oracle, ran.rounding, tolerance
    )
    notes += tolerance_notes(tolerance, ran.rounded, ran.oracle.outputs, len(graph.outputs))
    notes += coarse_notes(forms, lines, tolerance)
    if given_texts := [form.name for form in forms if form.takes_texts]:
        notes.append(f"{', '.join(given_texts)}: given texts; the other forms, and the oracle, their ids")
    if float64:
        progress("running in float64")
        lines += float64_lines(forms, graph, cases, ran.oracle, ran.rounding, notes)
    if gradients:
        progress("comparing gradients")
        worst = max(ran.rounding, key=lambda error: error.maximum)
        lines += gradient_lines(differentiated(forms, graph, cases, notes), graph, cases, worst, seed, notes)
    weights = {
        form.name: weight_differences(graph, form.graph)
        for form in forms
        if form is not source and form.graph is not None
    }
    origin = _origin(source, asked.own_seed, graph.inputs, cases)
    report = Report(
        lines, weights, list(cases), graph.digest(), notes=notes, tolerance=tolerance, origin=origin
    )
    report = _with_gates(report, ran, asked)
    if not trace or (trace == "auto" and not report.at_fault):
        return report
    progress("looking for where forms first differ")
    differing = {form: ran.results[form.name] for form in forms if form.name in report.at_fault}
    chosen = _worst_cases(lines, cases)
    findings = locate(Oracle(graph, chosen), chosen, _of_cases(differing, chosen)) if differing else []
    findings = [_of_own_ids(one, forms) for one in findings]
    return dataclasses.replace(report, trace=[_in_data(one, ran.trials) for one in findings])


def _at_fixed_sizes(graph: Graph, forms: Sequence[Form]) -> Graph:
    """The graph at the sizes that a form is of and others need not be, such as an ONNX file of one batch.

    Raises:
        InputError: the model is not defined over them, or two forms are of different sizes.
    """
    from export.onnx.fixed_sizes import at_sizes_of

    for form in forms:
        if form.shapes is not None and not form.takes_texts:
            graph = at_sizes_of(graph, form.shapes)
    return graph


@dataclass(frozen=True)
class _Asked:
    """What was asked for, see `verify`."""

    inputs: Any
    columns: DataColumns
    seed: int
    tolerance: float | None
    min_agreement: float | None
    expected: Any

    @property
    def own_seed(self) -> int | None:
        """The seed of random inputs; ``None`` where they were given."""
        return self.seed if self.inputs is None else None


def _run_graph(forms: list[Form], graph: Graph, asked: _Asked, progress: Told) -> Ran:
    """The forms and the oracle, run."""
    chosen = graph_trials(forms, graph, asked.inputs, asked.columns, asked.seed)
    for arrays in chosen.cases.values():
        check_inputs(graph, arrays)
    progress(f"computing the oracle on {len(chosen.cases)} inputs")
    oracle = graph_oracle(graph, chosen.cases)
    rounded = reference.run_cases(graph, chosen.cases, "float32")
    rounding = errors_of(rounded, oracle.outputs, len(graph.outputs))
    results = _run(forms, chosen, progress)
    floor = float32_floor(graph)
    return Ran(forms, results, oracle, graph.outputs, chosen, rounded, rounding, floor, graph)


def _run(forms: Sequence[Form], chosen: Trials, progress: Told) -> dict[str, Results | str]:
    results = {}
    for form in forms:
        progress(f"running {form.name}")
        results[form.name] = run_all(form.run, chosen.of(form))
    return results


def _verify_unread(forms: list[Form], asked: _Asked, progress: Told) -> Report:
    """The report where no form has a graph: the oracle is a live Keras model in float64."""
    source = next((form for form in forms if form.unread is not None), None)
    if source is None or source.unread is None:
        raise InputError(
            "verify needs a form to read the model from: a Keras model, a torch module or a bundle"
        )
    model, tolerance = source.unread, asked.tolerance
    program = model.program

    def random() -> Mapping[str, Arrays]:
        return model.cases(program.rounded, asked.seed)

    chosen = trials(forms, model.inputs, None, asked.inputs, asked.columns, asked.seed, random)
    exact, narrow = program.exact(next(iter(chosen.cases.values())))
    views = plain_views(model.inputs, [value.shape for value in model.outputs])
    oracle = OracleOutputs({case: exact(arrays) for case, arrays in chosen.cases.items()}, views)
    rounded: Results = {case: program.rounded(arrays) for case, arrays in chosen.cases.items()}
    rounding = errors_of(rounded, oracle.outputs, len(model.outputs))
    outputs = [value.name for value in model.outputs]
    results = _run(forms, chosen, progress)
    ran = Ran(forms, results, oracle, outputs, chosen, rounded, rounding, model.floor)
    lines = float32_lines(results, forms, source, outputs, model.floor, oracle, rounding, tolerance)
    notes = tolerance_notes(tolerance, rounded, oracle.outputs, len(outputs))
    notes += coarse_notes(forms, lines, tolerance)
    notes += [f"the oracle is {source.name} itself in float64, since biport does not read the model"]
    if narrow:
        notes.append(f"in float32 in the oracle too: {', '.join(narrow)}")
    origin = _origin(source, asked.own_seed, model.inputs, chosen.cases)
    report = Report(lines, cases=list(chosen.cases), notes=notes, tolerance=tolerance, origin=origin)
    return _with_gates(report, ran, asked)


def _with_gates(report: Report, ran: Ran, asked: _Asked) -> Report:
    """The report with what was asked for beside, and with the rows of the data in place of batches."""
    chosen, least = ran.trials, asked.min_agreement
    names = asked.columns.labels or (None if chosen.rows is None else chosen.rows.names)
    compared = []
    if least is not None or chosen.origin is not None:
        names = names or next((form.taken.labels for form in ran.forms if form.taken), None)
        compared = compared_labels(ran, names, least is not None)
    elif ran.alphabet is not None:
        compared = compared_texts(ran, ran.alphabet)
    gates = [] if least is None else label_gates(ran, compared, least)
    if asked.expected is not None:
        gates += expected_gates(ran, expected_numbers(asked.expected, ran), asked.tolerance)
    return dataclasses.replace(
        report,
        lines=[_at_row(line, chosen) for line in report.lines],
        notes=[*report.notes, *chosen.notes, *([] if least is None else label_notes(compared))],
        gates=gates,
        agreement=compared,
        data=chosen.origin,
        data_text="" if chosen.rows is None else chosen.rows.described,
    )


def _at_row(line: Line, chosen: Trials) -> Line:
    """A line whose worst number is in a row of the data, not of a batch that nobody knows of."""
    case, index = line.error.worst
    number = chosen.number(case, index[0]) if index else None
    if number is None:
        return line
    return dataclasses.replace(
        line, error=dataclasses.replace(line.error, worst=(f"row {number}", index[1:]))
    )


def _of_own_ids(finding: Finding, forms: Sequence[Form]) -> Finding:
    """A finding that says where the form makes ids of texts itself, which cannot be seen."""
    if not any(form.takes_texts and form.name == finding.form for form in forms):
        return finding
    note = "it makes ids of the texts itself, and these may be others already"
    return dataclasses.replace(finding, notes=[*finding.notes, note])


def _in_data(finding: Finding, chosen: Trials) -> Finding:
    """A finding that names the row of the data."""
    at = finding.position
    number = None if at is None else chosen.number(at.case, at.row)
    if at is None or number is None or chosen.origin is None:
        return finding
    name = Path(chosen.origin["path"]).name
    return dataclasses.replace(finding, position=dataclasses.replace(at, case=name, row=number))


TRACED = 4
"""Cases that are traced at most where there are many: those with the worst numbers."""


def _worst_cases(lines: Sequence[Line], cases: Mapping[str, Arrays]) -> dict[str, Arrays]:
    if len(cases) <= len(CASES):
        return dict(cases)
    worst = [line.error.worst[0] for line in sorted(lines, key=lambda line: line.badness, reverse=True)]
    chosen = [case for case in dict.fromkeys((*worst, *cases)) if case in cases][:TRACED]
    return {case: cases[case] for case in chosen}


def _of_cases(
    results: Mapping[Form, Results | str], cases: Mapping[str, Arrays]
) -> dict[Form, Results | str]:
    return {
        form: given if isinstance(given, str) else {case: given[case] for case in cases}
        for form, given in results.items()
    }


def _unchecked(forms: Sequence[Form]) -> list[str]:
    """What forms and their graphs have on somebody's word."""
    said = [note for form in forms for note in form.notes]
    words = [form.graph.origin.get("unchecked") for form in forms if form.graph is not None]
    said += [note for text in words if text is not None for note in text.split("; ")]
    return [*dict.fromkeys(said)]


def _origin(source: Form, seed: int | None, values: Sequence[Value], cases: Mapping[str, Arrays]) -> Origin:
    shapes = {
        case: {
            value.name: f"{value.dtype} {np.shape(array)}"
            for value, array in zip(values, arrays, strict=True)
        }
        for case, arrays in cases.items()
    }
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Origin(source.name, seed, shapes, date, installed_versions(), platform.platform())


def _with_names(forms: Sequence[Form]) -> list[Form]:
    """The forms under names of their own."""
    used: dict[str, int] = {}
    named = []
    for form in forms:
        used[form.name] = used.get(form.name, 0) + 1
        name = form.name if used[form.name] == 1 else f"{form.name} ({used[form.name]})"
        named.append(dataclasses.replace(form, name=name))
    return named
