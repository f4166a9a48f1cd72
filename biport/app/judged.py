"""A line for each output, form and level: what a form gives, measured against the oracle and judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from biport.app.forms import Form
from biport.app.oracle import Arrays, OracleOutputs
from biport.compare.gradients import Differentiated
from biport.compare.outcomes import Results, errors_of, run_all
from biport.compare.report import Line
from biport.compare.tolerance import (
    Error,
    Verdict,
    judge_absolute,
    judge_coarse,
    judge_float32,
    judge_float64,
)
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph

T = TypeVar("T")


def float32_lines(
    results: Mapping[str, Results | str],
    forms: Sequence[Form],
    source: Form,
    outputs: Sequence[str],
    floor: float,
    oracle: OracleOutputs,
    reference_errors: Sequence[Error],
    tolerance: float | None,
) -> list[Line]:
    """The lines of level L2.

    Args:
        results: what each form gave, by its name.
        forms: all of them.
        source: the form that the oracle was made of.
        outputs: their names.
        floor: what rounding may always do.
        oracle: what is right.
        reference_errors: what rounding alone does, for each output.
        tolerance: what is allowed in place of the policy's allowance.
    """
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


def tolerance_notes(tolerance: float | None, rounded: Results, oracle: Results, outputs: int) -> list[str]:
    """What the lines mean where somebody said what may be off, and whether float32 can be that exact."""
    if tolerance is None:
        return []
    notes = [f"errors at L2 are absolute, and {tolerance:g} is allowed: the tolerance that was given"]
    rounding = max((error.maximum for error in errors_of(rounded, oracle, outputs, True)), default=0.0)
    if rounding > tolerance:
        notes.append(f"rounding to float32 alone is off by {rounding:.1e} here, more than the tolerance")
    return notes


def coarse_notes(forms: Sequence[Form], lines: Sequence[Line], tolerance: float | None) -> list[str]:
    """What half precision costs the forms that compute in it, and how files of smaller numbers are judged."""
    notes = []
    for form in forms:
        if form.precision is not None:
            worst = max((line.error.maximum for line in lines if line.form == form.name), default=0.0)
            cost = f"costs it {worst:.1e}" if math.isfinite(worst) else "makes NaN or infinity of its numbers"
            notes.append(f"{form.name} computes in {form.precision}, which {cost} here")
    at_fault = {line.form for line in lines if line.verdict is Verdict.DIFFERENT}
    notes += [
        f"{form.name} was made smaller, {form.smaller}: its numbers are others, and how far they may be off "
        "is for its user to say, as a tolerance"
        for form in forms
        if form.smaller is not None and tolerance is None and form.name in at_fault
    ]
    return notes


def float64_lines(
    forms: Sequence[Form],
    graph: Graph,
    cases: Mapping[str, Arrays],
    oracle: OracleOutputs,
    reference_errors: Sequence[Error],
    notes: list[str],
) -> list[Line]:
    """The lines of level L1, of the forms that can compute in float64; of the others it is noted why not."""
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
        try:
            results = run_all(run, wide, raised=(UnsupportedError,))
        except UnsupportedError as missing:
            notes.append(f"{form.name}: not run in float64: {missing}")
            continue
        errors = errors_of(results, oracle.outputs, len(graph.outputs))
        for position, output in enumerate(graph.outputs):
            error = errors[position]
            verdict, allowed = judge_float64(error, form.float64_allowed, reference_errors[position])
            evidence = oracle.evidence(results, position, error)
            lines.append(Line(form.name, output, "L1", verdict, error, allowed, evidence))
    return lines


def differentiated(
    forms: Sequence[Form], graph: Graph, cases: Mapping[str, Arrays], notes: list[str]
) -> list[Differentiated]:
    """The forms that have gradients; of the others it is noted why they have none."""
    if any(array.size == 0 for arrays in cases.values() for array in arrays):
        raise InputError("gradients need inputs that are not empty")
    able, missing = [], []
    for form in forms:
        gradients = _opened(form.gradients, graph)
        if isinstance(gradients, str):
            missing.append(f"{form.name}: no gradients: {gradients}")
            continue
        # The form may have been given another name since it was opened.
        able.append(dataclasses.replace(gradients, name=form.name))
        if gradients.note:
            missing.append(f"{form.name}: {gradients.note}")
    if not able:
        raise InputError(f"no form has gradients to compare: {'; '.join(missing)}")
    notes += missing
    return able


def _opened(make: Callable[[Graph], T] | str, source: Graph) -> T | str:
    """What is made, or why there is none."""
    if isinstance(make, str):
        return make
    try:
        return make(source)
    except UnsupportedError as error:
        # Some layers of Keras compute something else in float64.
        return str(error)
