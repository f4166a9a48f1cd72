"""``biport matrix``: run, show, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from biport.app.junit import check_junit, write_junit
from biport.app.matrix import files, report
from biport.app.matrix.cases import Selection
from biport.app.matrix.mutate import plant_mistakes
from biport.app.matrix.run import run_matrix
from biport.app.progress import ProgressDisplay, show_progress
from biport.errors import Argument, InputError
from biport.tables import text_table

DEVICES = ("cpu", "cuda")


def run_command(
    choices: Mapping[str, tuple[str, ...]],
    *,
    forms: Sequence[str],
    quick: bool,
    planting: bool,
    device: str,
    jobs: int,
    seed: int,
    output: Path | None,
    junit: Path | None,
    force: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str, bool]:
    """The results as data and as text, and whether all is well.

    Raises:
        InputError: an unknown choice, or an output folder that is there already.
    """
    if device not in DEVICES:
        raise InputError(Argument("device", device), f": should be one of {', '.join(DEVICES)}")
    selection = Selection(quick=quick, **choices)
    if output is not None:
        files.check_output(output, force)
    check_junit(junit, force)
    if planting:
        with show_progress(quiet) as display:
            detections = plant_mistakes(selection, seed=seed, jobs=jobs, progress=_counted(display))
        written = [] if output is None else files.write_detections(detections, output)
        write_junit(junit, report.JUNIT_NAME, report.detections_suites(detections))
        text = [*text_table(report.detections_table(detections)), report.detections_summary(detections)]
        ok = bool(detections) and all(detection.detected for detection in detections)
        return report.detections_json(detections), "\n".join([*text, *written]), ok
    with show_progress(quiet) as display:
        outcome = run_matrix(
            selection, forms=forms, device=device, seed=seed, jobs=jobs, progress=_counted(display)
        )
    written = [] if output is None else files.write_outcome(outcome, output)
    write_junit(junit, report.JUNIT_NAME, report.to_suites(outcome))
    text = [*text_table(report.table(outcome)), *report.worst_lines(outcome), report.summary(outcome)]
    return report.to_json(outcome), "\n".join([*text, *written]), outcome.ok


def _counted(display: ProgressDisplay) -> Callable[[int, int, str], None]:
    return lambda done, total, name: display.update(name, done, total)
