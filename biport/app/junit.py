"""Results as JUnit XML, which GitHub, GitLab and Jenkins show: a suite a subject, a case a figure.

The format has no standard of its own; what is written here is what all three read: ``testsuites``, in it
``testsuite`` with the counts ``tests``, ``failures``, ``errors`` and ``skipped``, in it ``properties`` and
``testcase`` with at most one of ``failure``, ``error`` and ``skipped``. What passes says its figures as
``system-out``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from biport.compare.gate import Gate
from biport.compare.report import Line, Report
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from biport.files import atomic_file, check_target

Outcome = Literal["passed", "failure", "error", "skipped"]
SUFFIX = ".xml"
ILL_CONDITIONED = "ill-conditioned: the model amplifies rounding so much that nothing can be said"


@dataclass(frozen=True)
class Case:
    """One figure.

    Args:
        name: what was measured.
        outcome: what came of it: ``"failure"`` of a limit that is not kept, ``"error"`` of what could not be
            measured, ``"skipped"`` of what says nothing either way.
        message: figure and limit, in a line.
        details: more, as lines.
        owner: what it was measured of.
        seconds: how long it took; ``None`` where nobody looked.
    """

    name: str
    outcome: Outcome = "passed"
    message: str = ""
    details: str = ""
    owner: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Suite:
    """Figures of one subject.

    Args:
        name: what they are of.
        cases: one a figure.
        properties: what else is to be known, by name.
        seconds: how long it took.
    """

    name: str
    cases: Sequence[Case]
    properties: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None


def junit(name: str, suites: Sequence[Suite], seconds: float | None = None) -> bytes:
    """The document.

    Args:
        name: what wrote it, such as ``"biport verify"``.
        suites: in order.
        seconds: how long all of it took; by default as long as the suites.

    Example:
        >>> case = Case("error", "failure", "2e-3, at most 1e-6", owner="model.onnx")
        >>> print(junit("biport verify", [Suite("score", [case])]).decode())
        <?xml version='1.0' encoding='utf-8'?>
        <testsuites name="biport verify" tests="1" failures="1" errors="0" skipped="0">
          <testsuite name="score" tests="1" failures="1" errors="0" skipped="0">
            <testcase classname="model.onnx" name="error">
              <failure message="2e-3, at most 1e-6" type="biport" />
            </testcase>
          </testsuite>
        </testsuites>
    """
    every = [case for suite in suites for case in suite.cases]
    timed = [suite.seconds for suite in suites if suite.seconds is not None]
    total = sum(timed) if timed and seconds is None else seconds
    root = ElementTree.Element("testsuites", {"name": _text(name), **_counts(every), **_time(total)})
    for suite in suites:
        part = ElementTree.SubElement(
            root, "testsuite", {"name": _text(suite.name), **_counts(suite.cases), **_time(suite.seconds)}
        )
        if suite.properties:
            properties = ElementTree.SubElement(part, "properties")
            for key, value in suite.properties.items():
                ElementTree.SubElement(properties, "property", name=_text(key), value=_text(value))
        for case in suite.cases:
            _add(part, case, suite.name)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def check_junit(path: Path | None, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before work is spent on what goes into it.

    Raises:
        InputError: it has another suffix, is there already, or its folder is missing.
    """
    if path is None:
        return
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"{path}: results in the format of JUnit go to a file that ends in {SUFFIX}")
    check_target(path, overwrite)


def write_junit(path: Path | None, name: str, suites: Sequence[Suite]) -> None:
    """Write the document, whole or not at all; nothing where there is no path.

    Raises:
        FileError: it cannot be written.
    """
    if path is None:
        return
    content = junit(name, suites)
    with atomic_file(path) as draft:
        draft.write_bytes(content)


def gate_case(gate: Gate) -> Case:
    """A gate as a case.

    Example:
        >>> gate_case(Gate("accuracy drop", "small.onnx", 0.02, 0.01, least=False)).message
        'accuracy drop of small.onnx: 0.02, at most 0.01 is asked for: missed'
    """
    outcome: Outcome = "passed" if gate.ok else "error" if gate.figure is None else "failure"
    return Case(gate.name, outcome, gate.text, owner=gate.subject)


def line_case(line: Line) -> Case:
    """A line of a report as a case."""
    figure = f"largest error {_figure(line.error.maximum)}, allowed {line.allowed:.2e}"
    where, index = line.error.worst
    worst = f"worst at {where} {list(index)}" if where or index else ""
    message = "; ".join(part for part in (line.error.note, figure, worst) if part)
    name = f"{line.output} {line.level}"
    if line.verdict is Verdict.ILL_CONDITIONED:
        return Case(name, "skipped", f"{ILL_CONDITIONED}; {message}", owner=line.form)
    return Case(name, "failure" if line.verdict is Verdict.DIFFERENT else "passed", message, owner=line.form)


def report_suites(report: Report, name: str) -> list[Suite]:
    """A report: a suite of its lines, and one of its gates where there are such.

    Args:
        report: what `biport.verify` gave.
        name: what the suites are called.
    """
    table = report.table
    lines = [_with_details(line_case(line), table) for line in report.lines]
    properties = {"verdict": str(report.verdict), "figure": report.figure}
    properties |= {"data": report.data_text} if report.data_text else {}
    suites = [Suite(name, lines, properties)]
    return (
        [*suites, Suite(f"{name}: gates", [gate_case(gate) for gate in report.gates])]
        if report.gates
        else suites
    )


def _with_details(case: Case, details: str) -> Case:
    """What fails says all of it."""
    if case.outcome != "failure":
        return case
    return Case(case.name, case.outcome, case.message, details, case.owner, case.seconds)


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counts = {name: sum(case.outcome == kind for case in cases) for name, kind in kinds.items()}
    return {"tests": str(len(cases)), **{name: str(count) for name, count in counts.items()}}


def _time(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"time": f"{seconds:.3f}"}


def _add(suite: ElementTree.Element, case: Case, owner: str) -> None:
    attributes = {"classname": _text(case.owner or owner), "name": _text(case.name), **_time(case.seconds)}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.outcome == "passed":
        if case.message:
            ElementTree.SubElement(element, "system-out").text = _text(case.message)
        return
    settings = {"message": _text(case.message)}
    if case.outcome != "skipped":
        settings["type"] = "biport"
    problem = ElementTree.SubElement(element, case.outcome, settings)
    problem.text = _text(case.details) or None


def _text(text: str) -> str:
    """The text with what XML 1.0 cannot hold, control characters and lone surrogates, written out."""
    return "".join(one if _allowed(ord(one)) else f"\\u{ord(one):04x}" for one in text)


def _allowed(code: int) -> bool:
    return code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code > 0xFFFF


def _figure(number: float) -> str:
    return f"{number:.2e}" if math.isfinite(number) else "infinite"
