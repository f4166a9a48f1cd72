"""``biport run``: a session of what is run; a corpus of texts, with a bar and what is said at the end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biport.app.progress import show_progress
from biport.app.stored import is_stored, read_stored, texts_of
from biport.errors import Argument, InputError

TEXTS = (".txt", ".csv", ".jsonl")
"""Files of texts; all others hold arrays."""


@contextlib.contextmanager
def opened(model: Path, device: str) -> Iterator[Any]:
    """An ``export.Session`` of an ONNX file, or of one that is written of a folder of biport for the while.

    Raises:
        BiportError: the file cannot be run, or the folder not be read or written as ONNX.
    """
    import export

    if not is_stored(model):
        yield export.Session(model, device=device)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export.write(read_stored(model), path, vectors=False, **texts_of(model))
        yield export.Session(path, device=device)


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
    from export.corpus.scoring import score

    with opened(model, device) as session, show_progress(quiet) as display:
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
