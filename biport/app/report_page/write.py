"""The page: what of a report goes where, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biport.app.report_page import charts
from biport.app.report_page.charts import Chart, ErrorScale, course_errors, histogram_errors
from biport.compare import tolerance
from biport.compare.cases import BOTH_ENDS, PATTERNS
from biport.compare.evidence import Evidence, Example
from biport.compare.report import Line, Report
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from biport.extras import missing
from biport.files import atomic_file, check_target

SUFFIXES = (".html", ".htm")
LONGEST_TEXT = 2000
"""Characters of a name or a message that are shown."""
OPEN = 4
"""So many outputs are shown unfolded, beside those that differ."""
EXAMPLES = 6
LINES = 24
"""So many lines of a table are shown unfolded, beside those that are not the same."""
COLOURS = 8
CASES = 12
"""So many inputs have a column of their own, a row, and a line."""
WEIGHTS = 30
LEVELS = {"L1": "float64", "L2": "float32", "L3": "gradients"}


def check_page(path: Path, overwrite: bool) -> None:
    """Refuse a page that cannot be written, before work is spent on it.

    Raises:
        InputError: it has another suffix, is there already, or its folder is missing.
        MissingDependencyError: jinja2 is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a report is a page, which ends in .html")
    check_target(path, overwrite)
    _environment()


def write_html(report: Report, path: Path | str, overwrite: bool = False) -> Path:
    """Write a report as one page of HTML, which needs no network and runs no script.

    Args:
        report: what `biport.verify` gave.
        path: an ``.html`` file, which appears whole or not at all.
        overwrite: whether a file that is there is replaced.

    Returns:
        The path.

    Raises:
        InputError: it has another suffix, is there already, or its folder is missing.
        FileError: it cannot be written.
        MissingDependencyError: jinja2 is not installed.

    Example:
        >>> report = biport.verify(model, module, "model.onnx", trace="auto")  # doctest: +SKIP
        >>> biport.write_html(report, "report.html")  # doctest: +SKIP
    """
    path = Path(path)
    check_page(path, overwrite)
    page = to_html(report)
    with atomic_file(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def to_html(report: Report) -> str:
    """The page as text.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    traced = {finding.form for finding in report.trace or ()}
    patterns = _in_order(name for line in report.lines if line.evidence for name in line.evidence.patterns)
    first, others = _split(report.lines)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            first=first,
            others=others,
            forms=_in_order(line.form for line in report.lines),
            levels={level: LEVELS.get(level, "") for level in _in_order(line.level for line in report.lines)},
            untraced=[form for form in report.at_fault if form not in traced],
            cases=report.cases if len(report.cases) <= CASES else [],
            most_cases=CASES,
            patterns=[name for name in (*PATTERNS, BOTH_ENDS) if name in patterns],
            sections=_sections(report),
            examples=_examples(report),
            policy=tolerance,
            most_weights=WEIGHTS,
        )
    )


def _split(lines: Sequence[Line]) -> tuple[Sequence[Line], Sequence[Line]]:
    """What is shown at once, and what where it is asked for: of many the worst are shown."""
    if len(lines) <= LINES:
        return lines, []
    ordered = sorted(
        lines, key=lambda line: (line.verdict is Verdict.SAME, *(-part for part in line.badness))
    )
    shown = max(LINES, sum(line.verdict is not Verdict.SAME for line in lines))
    return ordered[:shown], ordered[shown:]


def _environment() -> Any:
    """Where templates become pages: all that is put into one is escaped, and shown as it is."""
    try:
        import jinja2
    except ImportError as error:
        raise missing("a page needs 'jinja2', which is not installed", "report") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("biport.app.report_page", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"figure": _figure, "short": _short, "share": _share}
    return environment


def _shown(value: Any) -> Any:
    """Text without characters that cannot be seen, or that turn the text around them: these by their number.

    Names are those of a model, and so whoever gave the model chose them.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    text = value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}... ({len(value):,} characters)"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else f"\\u{ord(one):04x}" for one in text)


def _figure(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return f"{number:.2e}" if math.isfinite(number) else "infinite"


def _short(number: float) -> str:
    """For tables of many."""
    return f"{number:.1e}" if number and math.isfinite(number) else "0" if number == 0 else _figure(number)


def _share(line: Line) -> float:
    """The error in parts of what was allowed, from 0 to 1."""
    if line.allowed == 0:
        return float(line.error.maximum > 0)
    return min(1.0, line.error.maximum / line.allowed)


def _in_order(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Panel:
    """The pictures of one output of one form at one level."""

    line: Line
    histogram: Chart
    course: Chart | None


@dataclass(frozen=True)
class Section:
    """One output: the panels of all forms.

    Args:
        output: its name.
        worst: the line with the largest error, in parts of what was allowed.
        unfolded: whether it is shown without being asked for.
        panels: of the forms.
        silent: the lines without pictures.
        legend: the lines of the courses and the numbers of their colours.
    """

    output: str
    worst: Line
    unfolded: bool
    panels: Sequence[Panel]
    silent: Sequence[Line]
    legend: dict[str, int]


def _sections(report: Report) -> list[Section]:
    """The outputs in their order."""
    compared = [line for line in report.lines if line.level != "L3"]
    levels = _in_order(line.level for line in compared)
    scales = {
        level: [_scale(compared, level, of) for of in (histogram_errors, course_errors)] for level in levels
    }
    sections = []
    for number, output in enumerate(_in_order(line.output for line in compared)):
        own = [line for line in compared if line.output == output]
        legend = _legend([line.evidence for line in own if line.evidence])
        worst = max(own, key=lambda line: line.badness)
        sections.append(
            Section(
                output,
                worst,
                number < OPEN or worst.verdict is Verdict.DIFFERENT,
                [_panel(line, line.evidence, scales[line.level], legend) for line in own if line.evidence],
                [line for line in own if line.evidence is None],
                legend,
            )
        )
    return sections


def _scale(lines: Sequence[Line], level: str, errors_of: Callable[[Evidence], list[float]]) -> ErrorScale:
    """One for all outputs and forms of a level, so that pictures can be compared."""
    own = [line for line in lines if line.level == level]
    errors = [error for line in own if line.evidence is not None for error in errors_of(line.evidence)]
    return charts.error_scale([*errors, *(line.allowed for line in own)])


def _legend(evidence: Sequence[Evidence]) -> dict[str, int]:
    names = _in_order(name for one in evidence for name in one.courses)
    known = [name for name in (*PATTERNS, BOTH_ENDS) if name in names]
    others = [name for name in names if name not in known]
    # Of the batches of a file nobody could tell one from another.
    ordered = [*known, *(others if len(others) <= CASES else [])]
    return {name: number % COLOURS for number, name in enumerate(ordered)}


def _panel(line: Line, evidence: Evidence, scales: Sequence[ErrorScale], legend: dict[str, int]) -> Panel:
    errors, steps = scales
    drawn = replace(
        evidence, courses={name: evidence.courses[name] for name in legend if name in evidence.courses}
    )
    course = charts.course(drawn, line.allowed, steps, legend) if drawn.courses else None
    return Panel(line, charts.histogram(evidence, line.allowed, errors), course)


@dataclass(frozen=True)
class DrawnExample:
    """The row with the worst error of a form.

    Args:
        line: the form and the output.
        example: the row.
        line_index: which numbers are drawn, with a colon for the axis along which they lie.
        rows: step, validity, the oracle's number, the form's, the error; of each.
        values: what both give; ``None`` of a single number.
        errors: the errors.
        mask: of the input, where it is not over the steps that are drawn.
    """

    line: Line
    example: Example
    line_index: str
    rows: Sequence[tuple[int, str, float, float, float]]
    values: Chart | None
    errors: Chart | None
    mask: Chart | None


def _examples(report: Report) -> list[DrawnExample]:
    """The worst of each form that differs; where none does, the worst of all."""
    shown = [(line, line.evidence.example) for line in report.lines if line.evidence]
    drawable = [(line, example) for line, example in shown if example is not None]
    forms = report.at_fault or _in_order(line.form for line, _ in drawable)
    worst = [
        max(own, key=lambda pair: pair[0].badness)
        for form in forms
        if (own := [pair for pair in drawable if pair[0].form == form])
    ]
    if not report.at_fault:
        worst = sorted(worst, key=lambda pair: pair[0].badness)[-1:]
    return [_drawn(line, example) for line, example in worst[:EXAMPLES]]


def _drawn(line: Line, example: Example) -> DrawnExample:
    several = len(example.exact) > 1
    own = example.mask if example.own_mask else None
    validity = [""] * len(example.exact) if own is None else ["valid" if one else "padded" for one in own]
    index = [":" if axis == example.axis else str(at) for axis, at in enumerate(example.index)]
    numbers = range(example.start, example.start + len(example.exact))
    return DrawnExample(
        line,
        example,
        f"[{', '.join(index)}]",
        list(zip(numbers, validity, example.exact, example.given, example.errors, strict=True)),
        charts.values(example) if several else None,
        charts.example_errors(example, line.error, line.allowed) if several else None,
        charts.other_mask(example),
    )
