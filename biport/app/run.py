"""``biport run`` over a corpus of texts: a bar on a terminal, and what is said at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biport.app.progress import show_progress
from biport.errors import Argument, InputError

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
        InputError: there is no output; or as ``export.corpus.scoring.score``.
    """
    if output is None:
        raise InputError(
            "a corpus needs an ", Argument("output"), ": a file that ends in .csv, .jsonl or .npz"
        )
    import export
    from export.corpus.scoring import score

    session = export.Session(model, device=device)
    with show_progress(quiet) as display:
        scored = 0

        def show(rows: int) -> None:
            nonlocal scored
            scored += rows
            display.update(source.name, scored)

        done = score(
            session, source, output, column=column, resume=resume, overwrite=overwrite, progress=show
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
