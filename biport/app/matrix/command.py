"""``biport matrix``: run, show, write."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from biport.app.matrix import files, report
from biport.app.matrix.cases import Selection
from biport.app.matrix.mutate import plant_mistakes
from biport.app.matrix.run import run_matrix

WIDTH = 160
"""Columns of a table that does not go to a terminal."""


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
    force: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str, bool]:
    """The results as data and as text, and whether all is well.

    Raises:
        InputError: an unknown choice, or an output folder that is there already.
    """
    selection = Selection(quick=quick, **choices)
    if output is not None:
        files.check_output(output, force)
    if planting:
        with _progress(quiet) as show:
            detections = plant_mistakes(selection, seed=seed, jobs=jobs, progress=show)
        written = [] if output is None else files.write_detections(detections, output)
        text = [_shown(report.detections_table(detections)), report.detections_summary(detections)]
        ok = bool(detections) and all(detection.detected for detection in detections)
        return report.detections_json(detections), "\n".join([*text, *_told(written)]), ok
    with _progress(quiet) as show:
        outcome = run_matrix(selection, forms=forms, device=device, seed=seed, jobs=jobs, progress=show)
    written = [] if output is None else files.write_outcome(outcome, output)
    text = [_shown(report.table(outcome)), *report.worst_lines(outcome), report.summary(outcome)]
    return report.to_json(outcome), "\n".join([*text, *_told(written)]), outcome.ok


def _told(written: Sequence[Path]) -> list[str]:
    return [f"written: {path}" for path in written]


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on the terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)


def _shown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first one its head."""
    table = Table(box=None, pad_edge=False)
    for head in rows[0]:
        table.add_column(head, no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=max(WIDTH, Console().width), color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]
