"""``biport run`` over a corpus of texts: a bar on a terminal, and what is said at the end."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from biport.errors import InputError

TEXTS = (".txt", ".csv", ".jsonl")
"""Files of texts; all others hold arrays."""


def run_corpus(
    model: Path,
    source: Path,
    output: Path | None,
    *,
    column: str | None,
    device: str,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Run ``model`` over the texts of ``source``; what to say, as data and as text.

    Raises:
        InputError: there is no output; or as ``export.scoring.score``.
    """
    if output is None:
        raise InputError("a corpus needs an --output: a file that ends in .csv, .jsonl or .npz")
    scoring = importlib.import_module("export.scoring")
    session = importlib.import_module("export").Session(model, device=device)
    settings = {"column": column, "resume": resume, "overwrite": overwrite}
    if quiet or not sys.stderr.isatty():
        done = scoring.score(session, source, output, **settings)
    else:
        with _bar() as bar:
            task = bar.add_task(str(source.name), total=None)
            done = scoring.score(
                session, source, output, **settings, progress=lambda rows: bar.advance(task, rows)
            )
    data = {
        "model": str(model),
        "written": str(done.output),
        "rows": done.rows,
        "resumed": done.resumed,
        "seconds": done.seconds,
    }
    text = f"{done.output}: {done.rows} rows, {done.rows - done.resumed} of them in {done.seconds:.1f} s"
    return data, text + (f", {done.resumed} were there already" if done.resumed else "")


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
