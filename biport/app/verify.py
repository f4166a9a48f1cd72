"""Run several forms of one model on the same inputs and compare each with the oracle."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import numpy as np

from biport import reference
from biport.app.forms import Arrays, Form, open_form
from biport.compare.cases import CASES, RIGHT_PADDED, random_cases
from biport.compare.evidence import Evidence, View, gather, graph_views, plain_views
from biport.compare.gradients import Differentiated, gradient_lines
from biport.compare.localize import Oracle, locate
from biport.compare.localize.traced import Cases, Traced
from biport.compare.outcomes import Results, errors_of, run_all
from biport.compare.report import Line, Origin, Report
from biport.compare.text_cases import text_cases
from biport.compare.tolerance import (
    Error,
    Verdict,
    float32_floor,
    judge_absolute,
    judge_coarse,
    judge_float32,
    judge_float64,
)
from biport.errors import InputError, UnsupportedError
from biport.extras import installed_versions
from biport.graph import Graph, Value, weight_differences
from biport.inputs import Inputs, check_inputs, in_order
from biport.text.characters import Characters, common
from biport.text.inputs import source_names, with_ids

T = TypeVar("T")


def verify(
    *sources: Any,
    inputs: Inputs | None = None,
    seed: int = 0,
    float64: bool = False,
    trace: bool | Literal["auto"] = False,
    gradients: bool = False,
    config: Any = None,
    example: Any = None,
    states: str | None = None,
    tolerance: float | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Report:
    """Compare forms of one model with the oracle, the float64 reference of the first form's graph.

    Where biport can read none of them, such as a Keras model with a layer it does not know and the ONNX file
    written of it by way of tf2onnx, the oracle is the first Keras model itself in float64.

    Args:
        sources: two or more of: live Keras models, torch modules, `Graph`, ``export.Session``, paths of
            Keras files, bundles and ``.onnx`` files, `biport.app.forms.Form`. The first that biport can read
            is the source.
        inputs: one array for each input, in order or by name; by default `random_cases`, which have every
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
        progress: told of each stage of the work.

    Returns:
        The report. A difference is a verdict, not an exception, and so is a form that fails to run.

    Raises:
        BiportError: a form cannot be opened, none of them can be read, or the inputs do not suit it;
            gradients are asked for, and no form has any.
    """
    if len(sources) < 2:
        raise InputError("verify compares two or more forms of a model")
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance should be a number of 0 or more, found {tolerance!r}")
    opened = []
    for given in sources:
        if isinstance(given, str | os.PathLike):
            progress(f"opening {os.fspath(given)}")
        opened.append(open_form(given, config, example, states))
    # Before each form of half precision stands the same model in float32.
    paired = [one for form in opened for one in (form.in_float32, form) if one is not None]
    forms = _with_names(paired)
    notes = _unchecked(forms)
    source = next((form for form in forms if form.graph is not None), None)
    if source is None or source.graph is None:
        if float64 or trace is True or gradients:
            raise InputError("float64, trace and gradients need a form that biport reads the model from")
        return _verify_unread(forms, inputs, seed, tolerance)
    graph = source.graph
    names = [value.name for value in graph.inputs]
    texts, cases = _texts(forms, inputs, seed)
    if not cases:
        cases = random_cases(graph, seed) if inputs is None else {"input": in_order(names, inputs)}
    if not texts and inputs is None and any(form.contract is not None for form in forms):
        cases = {case: arrays for case, arrays in cases.items() if {*CASES[case][2]} <= {*RIGHT_PADDED}}
    for arrays in cases.values():
        check_inputs(graph, arrays)
    progress(f"computing the oracle on {len(cases)} inputs")
    oracle = _graph_oracle(graph, cases)
    rounded = reference.run_cases(graph, cases, "float32")
    rounding = errors_of(rounded, oracle.outputs, len(graph.outputs))
    results = {}
    for form in forms:
        progress(f"running {form.name}")
        results[form.name] = run_all(form.run, texts if form.takes_texts else cases)
    lines = _float32_lines(
        results, forms, source, graph.outputs, float32_floor(graph), oracle, rounding, tolerance
    )
    notes += _tolerance_notes(tolerance, rounded, oracle.outputs, len(graph.outputs))
    notes += _coarse_notes(forms, lines)
    if given_texts := [form.name for form in forms if form.takes_texts]:
        notes.append(f"{', '.join(given_texts)}: given texts; the other forms, and the oracle, their ids")
    if float64:
        progress("running in float64")
        lines += _float64_lines(forms, graph, cases, oracle, rounding, notes)
    if gradients:
        progress("comparing gradients")
        worst = max(rounding, key=lambda error: error.maximum)
        lines += gradient_lines(_differentiated(forms, graph, cases, notes), graph, cases, worst, seed, notes)
    weights = {
        form.name: weight_differences(graph, form.graph)
        for form in forms
        if form is not source and form.graph is not None
    }
    origin = _origin(source, None if inputs is not None else seed, graph.inputs, cases)
    report = Report(
        lines, weights, list(cases), graph.digest(), notes=notes, tolerance=tolerance, origin=origin
    )
    if not trace or (trace == "auto" and not report.at_fault):
        return report
    progress("looking for where forms first differ")
    differing = {form: results[form.name] for form in forms if form.name in report.at_fault}
    findings = locate(Oracle(graph, cases), cases, differing) if differing else []
    return dataclasses.replace(report, trace=findings)


def _texts(forms: list[Form], inputs: Inputs | None, seed: int) -> tuple[Cases, Cases]:
    """Texts by case, for the forms that take them, and the ids that they are; nothing where none does.

    Those forms are traced over the texts too.

    Raises:
        InputError: ids are given, and a form takes texts.
    """
    speaking = [form for form in forms if form.takes_texts]
    if not speaking:
        return {}, {}
    graph = next((form.graph for form in forms if form.graph and form.graph.tokenizers), None)
    if graph is None:
        raise InputError(f"{speaking[0].name}: takes texts, and no form says how ids are made of them")
    if inputs is None:
        characters: dict[str, Characters] = {}
        for form in speaking:
            for name, known in form.characters.items():
                characters[name] = common(characters[name], known) if name in characters else known
        texts, ids = text_cases(graph, seed, characters)
    else:
        names = [value.name for value in graph.inputs]
        sources = source_names(names, graph.tokenizers)
        given = in_order(sources, inputs)
        read = {one.source for one in graph.tokenizers.values()}
        pairs = zip(sources, given, strict=True)
        texts = {"input": [np.asarray(part, object if name in read else None) for name, part in pairs]}
        ids = {"input": with_ids(names, graph.tokenizers, texts["input"])}
    for position, form in enumerate(forms):
        if form.takes_texts and form.trace is not None:
            forms[position] = dataclasses.replace(form, trace=functools.partial(_traced, form.trace, texts))
    return texts, ids


def _traced(trace: Callable[[Cases, Graph], Traced], texts: Cases, cases: Cases, graph: Graph) -> Traced:
    return trace({case: texts[case] for case in cases}, graph)


def _verify_unread(
    forms: Sequence[Form], inputs: Inputs | None, seed: int, tolerance: float | None
) -> Report:
    """The report where no form has a graph: the oracle is a live Keras model in float64."""
    source = next((form for form in forms if form.unread is not None), None)
    if source is None or source.unread is None:
        raise InputError(
            "verify needs a form to read the model from: a Keras model, a torch module or a bundle"
        )
    model = source.unread
    names = [value.name for value in model.inputs]
    program = model.program
    cases = model.cases(program.rounded, seed) if inputs is None else {"input": in_order(names, inputs)}
    exact, narrow = program.exact(next(iter(cases.values())))
    views = plain_views(model.inputs, [value.shape for value in model.outputs])
    oracle = _Oracle({case: exact(arrays) for case, arrays in cases.items()}, views)
    rounded: Results = {case: program.rounded(arrays) for case, arrays in cases.items()}
    rounding = errors_of(rounded, oracle.outputs, len(model.outputs))
    results = {form.name: run_all(form.run, cases) for form in forms}
    outputs = [value.name for value in model.outputs]
    lines = _float32_lines(results, forms, source, outputs, model.floor, oracle, rounding, tolerance)
    notes = _tolerance_notes(tolerance, rounded, oracle.outputs, len(outputs))
    notes += [f"the oracle is {source.name} itself in float64, since biport does not read the model"]
    if narrow:
        notes.append(f"in float32 in the oracle too: {', '.join(narrow)}")
    origin = _origin(source, None if inputs is not None else seed, model.inputs, cases)
    return Report(lines, cases=list(cases), notes=notes, tolerance=tolerance, origin=origin)


def _unchecked(forms: Sequence[Form]) -> list[str]:
    """What the graphs of forms have on somebody's word."""
    said = [form.graph.origin.get("unchecked") for form in forms if form.graph is not None]
    return [note for text in dict.fromkeys(said) if text is not None for note in text.split("; ")]


def _coarse_notes(forms: Sequence[Form], lines: Sequence[Line]) -> list[str]:
    """What half precision costs the forms that compute in it."""
    notes = []
    for form in forms:
        if form.precision is not None:
            worst = max((line.error.maximum for line in lines if line.form == form.name), default=0.0)
            cost = f"costs it {worst:.1e}" if math.isfinite(worst) else "makes NaN or infinity of its numbers"
            notes.append(f"{form.name} computes in {form.precision}, which {cost} here")
    return notes


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


@dataclass(frozen=True)
class _Oracle:
    """What forms are compared with.

    Args:
        outputs: by case.
        views: how each output lies.
        masks: by case and name, those of the views.
    """

    outputs: Results
    views: Sequence[View]
    masks: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def evidence(
        self, results: Results | str, position: int, error: Error, absolute: bool = False
    ) -> Evidence | None:
        """How the errors of one output of a form lie."""
        if isinstance(results, str) or any(len(given) != len(self.views) for given in results.values()):
            return None
        view = self.views[position]
        return gather(
            {case: arrays[position] for case, arrays in results.items()},
            {case: arrays[position] for case, arrays in self.outputs.items()},
            error,
            view,
            {case: known[view.mask] for case, known in self.masks.items() if view.mask is not None},
            absolute,
        )


def _graph_oracle(graph: Graph, cases: Mapping[str, Arrays]) -> _Oracle:
    exact, views = graph.astype("float64"), graph_views(graph)
    wanted = {view.mask for view in views if view.mask is not None}
    outputs: dict[str, Sequence[np.ndarray]] = {}
    masks = {}
    for case, arrays in cases.items():
        values = reference.trace(exact, arrays)
        outputs[case] = [values[name] for name in graph.outputs]
        masks[case] = {name: values[name] for name in wanted}
    return _Oracle(outputs, views, masks)


def _float32_lines(
    results: Mapping[str, Results | str],
    forms: Sequence[Form],
    source: Form,
    outputs: Sequence[str],
    floor: float,
    oracle: _Oracle,
    reference_errors: Sequence[Error],
    tolerance: float | None,
) -> list[Line]:
    absolute = tolerance is not None
    errors = {
        name: errors_of(given, oracle.outputs, len(outputs), absolute) for name, given in results.items()
    }
    lines = []
    for form in forms:
        name = form.name
        for position, output in enumerate(outputs):
            error, base = errors[name][position], reference_errors[position]
            if tolerance is None and form.precision is not None:
                verdict, allowed = judge_coarse(error, base, form.precision, floor)
            elif tolerance is None:
                own = errors[source.name][position]
                trusted = judge_float32(own, base, None, floor)[0] is not Verdict.DIFFERENT
                trusted &= source.precision is None
                yardstick = own if trusted and name != source.name else None
                verdict, allowed = judge_float32(error, base, yardstick, floor)
            else:
                verdict, allowed = judge_absolute(error, tolerance, base), tolerance
            evidence = oracle.evidence(results[name], position, error, absolute)
            lines.append(Line(name, output, "L2", verdict, error, allowed, evidence))
    return lines


def _tolerance_notes(tolerance: float | None, rounded: Results, oracle: Results, outputs: int) -> list[str]:
    """What the lines mean where somebody said what may be off, and whether float32 can be that exact."""
    if tolerance is None:
        return []
    notes = [f"errors at L2 are absolute, and {tolerance:g} is allowed: the tolerance that was given"]
    rounding = max((error.maximum for error in errors_of(rounded, oracle, outputs, True)), default=0.0)
    if rounding > tolerance:
        notes.append(f"rounding to float32 alone is off by {rounding:.1e} here, more than the tolerance")
    return notes


def _float64_lines(
    forms: Sequence[Form],
    graph: Graph,
    cases: Mapping[str, Arrays],
    oracle: _Oracle,
    reference_errors: Sequence[Error],
    notes: list[str],
) -> list[Line]:
    wide = {
        case: [array.astype("float64") if array.dtype.kind == "f" else array for array in arrays]
        for case, arrays in cases.items()
    }
    lines = []
    for form in forms:
        run = _opened(form.run_float64, graph)
        if isinstance(run, str):
            notes.append(f"{form.name}: not run in float64: {run}")
            continue
        results = run_all(run, wide)
        errors = errors_of(results, oracle.outputs, len(graph.outputs))
        for position, output in enumerate(graph.outputs):
            error = errors[position]
            verdict, allowed = judge_float64(error, form.float64_allowed, reference_errors[position])
            evidence = oracle.evidence(results, position, error)
            lines.append(Line(form.name, output, "L1", verdict, error, allowed, evidence))
    return lines


def _differentiated(
    forms: Sequence[Form], graph: Graph, cases: Mapping[str, Arrays], notes: list[str]
) -> list[Differentiated]:
    """The forms that have gradients; of the others it is noted why they have none."""
    if any(array.size == 0 for arrays in cases.values() for array in arrays):
        raise InputError("gradients need inputs that are not empty")
    differentiated, missing = [], []
    for form in forms:
        gradients = _opened(form.gradients, graph)
        if isinstance(gradients, str):
            missing.append(f"{form.name}: no gradients: {gradients}")
            continue
        # The form may have been given another name since it was opened.
        differentiated.append(dataclasses.replace(gradients, name=form.name))
        if gradients.note:
            missing.append(f"{form.name}: {gradients.note}")
    if not differentiated:
        raise InputError(f"no form has gradients to compare: {'; '.join(missing)}")
    notes += missing
    return differentiated


def _opened(make: Callable[[Graph], T] | str, source: Graph) -> T | str:
    """What is made, or why there is none."""
    if isinstance(make, str):
        return make
    try:
        return make(source)
    except UnsupportedError as error:
        # Some layers of Keras compute something else in float64.
        return str(error)
