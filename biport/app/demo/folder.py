"""What the demos share: their folder, their progress, their report."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from biport import bundle
from biport.app.train.command import run_training
from biport.errors import InputError
from biport.graph import Graph
from biport.training import folder as files
from biport.training.recipe import Recipe


def prepare(output: Path, own: Sequence[str], force: bool) -> None:
    """Make an empty folder, or empty one of the files called ``own`` that an earlier demo left.

    Raises:
        InputError: it is no folder, or holds something else.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is not a folder")
    found = sorted(entry.name for entry in output.iterdir()) if output.exists() else []
    strange = [name for name in found if name not in own]
    if strange or (found and not force):
        advice = "give an empty folder" if strange else "use --force to replace an earlier demo"
        raise InputError(f"{output}: holds {', '.join((strange or found)[:3])}; {advice}")
    for name in found:
        path = output / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)


Step = Callable[[str, float | None], None]


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Step]:
    """A bar on a terminal, a line a step elsewhere, nothing when ``quiet``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        said: set[str] = set()

        def say(text: str, done: float | None) -> None:
            if done is None and text not in said:
                said.add(text)
                console.print(text, highlight=False)

        yield say
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(text: str, done: float | None) -> None:
            bar.update(task, description=text, total=None if done is None else 1.0, completed=done or 0.0)

        yield show


def trained(recipe: Recipe, folder: Path, *, quiet: bool) -> Graph:
    """The best model of a run in Keras, which is left in ``folder``."""
    # torch first: importing it after tensorflow has been seen to crash.
    import torch  # noqa: F401

    run_training(
        recipe, framework="keras", output=folder, initial=None, resume=False, force=False, quiet=quiet
    )
    return bundle.read(folder / files.MODEL)


def write_report(output: Path, data: dict[str, Any]) -> None:
    """``report.json``."""
    (output / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells under each other, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
