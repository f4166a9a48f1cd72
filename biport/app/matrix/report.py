"""The results of the matrix: for a terminal, as JSON, as JUnit XML, and as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from biport.app.junit import ILL_CONDITIONED, Case, Suite, junit
from biport.app.matrix.mutate import Detection, missed, score
from biport.app.matrix.run import Outcome, Result
from biport.compare.tolerance import Verdict
from biport.extras import installed_versions, missing

JUNIT_NAME = "biport matrix"


def summary(outcome: Outcome) -> str:
    """The last line: how much was compared, and the verdict."""
    results = outcome.results
    text = (
        f"{outcome.models} models, {len(results)} comparisons in {outcome.seconds:.0f} s: "
        f"{len(outcome.differences)} different, {len(outcome.ill_conditioned)} ill-conditioned"
    )
    for form, package in outcome.missing.items():
        text += f"\n{form} was not run: {package!r} is not installed"
    return f"{text}\nverdict: {'same' if outcome.ok else 'different'}"


def table(outcome: Outcome) -> list[list[str]]:
    """Rows of text, the heading first: by cell and direction the largest error of each form and level."""
    columns = list(dict.fromkeys((result.form, result.level) for result in outcome.results))
    rows = [["cell", "direction", *(f"{form} {level}" for form, level in columns)]]
    for (cell, direction), results in _grouped(outcome.results):
        by_column = {key: [r for r in results if (r.form, r.level) == key] for key in columns}
        rows.append([cell, direction, *(_cell_text(by_column[key]) for key in columns)])
    return rows


def _grouped(results: Iterable[Result]) -> list[tuple[tuple[str, str], list[Result]]]:
    ordered = list(results)
    first = {(r.cell, r.direction): index for index, r in reversed(list(enumerate(ordered)))}
    ordered.sort(key=lambda r: first[r.cell, r.direction])
    return [(key, list(several)) for key, several in groupby(ordered, key=lambda r: (r.cell, r.direction))]


def _cell_text(results: Sequence[Result]) -> str:
    if not results:
        return "not run"
    differing = sum(result.verdict is Verdict.DIFFERENT for result in results)
    if differing:
        return f"{differing} of {len(results)} differ"
    chaotic = sum(result.verdict is Verdict.ILL_CONDITIONED for result in results)
    if results[0].level == "L0":
        return f"{len(results)} equal"
    worst = max(result.maximum for result in results)
    return f"{worst:.1e}" + (f", {chaotic} ill-cond." if chaotic else "")


def worst_lines(outcome: Outcome, most: int = 20) -> list[str]:
    """The differences in words, the first ``most``."""
    lines = [f"{_named(result)}: {_why(result)}" for result in outcome.differences[:most]]
    left = len(outcome.differences) - most
    return [*lines, f"... and {left} more"] if left > 0 else lines


def _named(result: Result) -> str:
    return f"{result.model}: {result.layer}, {result.form} {result.level}"


def _why(result: Result) -> str:
    if result.note:
        return result.note
    pattern = max(result.errors, key=lambda name: result.errors[name])
    return f"error {result.maximum:.2e} under mask {pattern!r}, allowed {result.allowed:.2e}"


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Everything, as plain data; an infinite error is ``null``."""
    return {
        "verdict": "same" if outcome.ok else "different",
        "models": outcome.models,
        "comparisons": len(outcome.results),
        "different": len(outcome.differences),
        "ill_conditioned": len(outcome.ill_conditioned),
        "seconds": outcome.seconds,
        "missing": dict(outcome.missing),
        "versions": installed_versions(),
        "results": [_result_json(result) for result in outcome.results],
    }


def _result_json(result: Result) -> dict[str, Any]:
    errors = {name: error if math.isfinite(error) else None for name, error in result.errors.items()}
    return {
        "model": result.model,
        "cell": result.cell,
        "direction": result.direction,
        "output": result.output,
        "states": result.states,
        "form": result.form,
        "level": result.level,
        "verdict": str(result.verdict),
        "errors": errors,
        "allowed": result.allowed,
        "note": result.note,
    }


def to_suites(outcome: Outcome) -> list[Suite]:
    """For a file in JUnit's format: a suite a model; a form that could not be run is a skipped one."""
    suites = [
        Suite(model, [_case(result) for result in results])
        for model, results in groupby(outcome.results, key=lambda result: result.model)
    ]
    for form, package in outcome.missing.items():
        suites.append(Suite(form, [Case(form, "skipped", f"{package} is not installed", owner="forms")]))
    return suites


def to_junit(outcome: Outcome) -> bytes:
    """The same as a document."""
    return junit(JUNIT_NAME, to_suites(outcome), outcome.seconds)


def _case(result: Result) -> Case:
    name = f"{result.layer}, {result.form} {result.level}"
    if result.verdict is Verdict.DIFFERENT:
        return Case(name, "failure", _why(result))
    if result.verdict is Verdict.ILL_CONDITIONED:
        return Case(name, "skipped", ILL_CONDITIONED)
    return Case(name, message=_why(result) if result.errors else "")


def to_html(outcome: Outcome) -> str:
    """One page that needs nothing else: the summary, and the errors of every layer as a heat map.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise missing("'jinja2' is not installed", "matrix") from error

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("biport.app.matrix", "templates"), autoescape=True, trim_blocks=True
    )
    patterns = list(dict.fromkeys(name for result in outcome.results for name in result.errors))
    columns = list(dict.fromkeys((r.form, r.level) for r in outcome.results if r.level != "L0"))
    return environment.get_template("heat_map.html.j2").render(
        summary=summary(outcome).splitlines(),
        ok=outcome.ok,
        versions=installed_versions(),
        table=table(outcome),
        differences=worst_lines(outcome, most=200),
        columns=columns,
        patterns=patterns,
        sections=[
            (f"{cell} {direction}", _heat(several, columns))
            for (cell, direction), several in _grouped(outcome.results)
        ],
    )


def _heat(results: Sequence[Result], columns: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row a layer, one cell a form, level and pattern."""
    layers: dict[tuple[str, str], dict[tuple[str, str], Result]] = {}
    for result in results:
        own = layers.setdefault((result.model, result.layer), {})
        own[result.form, result.level] = result
    return [
        {
            # The section says cell and direction already.
            "name": f"{model.partition(', ')[2]}: {layer}",
            "cells": [_heat_cells(by_column.get(column)) for column in columns],
        }
        for (model, layer), by_column in layers.items()
    ]


def _heat_cells(result: Result | None) -> Mapping[str, tuple[str, str, str]]:
    """For each pattern the cell's class, text and title."""
    if result is None:
        return {}
    return {name: _heat_cell(result, error) for name, error in result.errors.items()}


def _heat_cell(result: Result, error: float) -> tuple[str, str, str]:
    title = f"error {error:.2e}, allowed {result.allowed:.2e}"
    if not math.isfinite(error):
        return "bad", "!", result.note or title
    text = "0" if error == 0 else str(math.floor(math.log10(error)))
    if result.verdict is Verdict.ILL_CONDITIONED:
        return "ill", text, f"{title}, ill-conditioned"
    if error > result.allowed:
        return "bad", text, title
    share = error / result.allowed if result.allowed else 0.0
    return f"h{min(4, int(share * 5))}", text, title


def detections_table(detections: Sequence[Detection]) -> list[list[str]]:
    """Rows of text, the heading first: every mistake, and what became of it at each seam."""
    seams = list(dict.fromkeys(detection.seam for detection in detections))
    rows = [["fault", *seams]]
    for mistake, several in groupby(detections, key=lambda detection: detection.mistake):
        by_seam = {detection.seam: detection for detection in several}
        rows.append([mistake, *(_detection_text(by_seam.get(seam)) for seam in seams)])
    return rows


def _detection_text(detection: Detection | None) -> str:
    if detection is None:
        return "-"
    return "found" if detection.detected else "MISSED"


def detections_summary(detections: Sequence[Detection]) -> str:
    """The score."""
    detected, planted = score(detections)
    kinds = len({detection.mistake for detection in detections})
    lines = [f"MISSED: {detection.mistake} ({detection.seam})" for detection in missed(detections)]
    return "\n".join(
        [*lines, f"mutation score: {detected} of {planted} ({kinds} faults, planted at each side)"]
    )


def detections_suites(detections: Sequence[Detection]) -> list[Suite]:
    """For a file in JUnit's format: a suite a mistake, a case where it was planted."""
    return [
        Suite(mistake, [_detection_case(detection) for detection in several])
        for mistake, several in groupby(detections, key=lambda detection: detection.mistake)
    ]


def _detection_case(detection: Detection) -> Case:
    if detection.detected:
        return Case(detection.seam, message=f"noticed in {detection.models} models")
    return Case(detection.seam, "failure", f"not noticed in {detection.models} models")


def detections_json(detections: Sequence[Detection]) -> dict[str, Any]:
    """The mistakes as plain data."""
    detected, planted = score(detections)
    return {
        "found": detected,
        "planted": planted,
        "versions": installed_versions(),
        "faults": [
            {
                "fault": detection.mistake,
                "seam": detection.seam,
                "models": detection.models,
                "found": detection.detected,
                "example": detection.example,
            }
            for detection in detections
        ],
    }
