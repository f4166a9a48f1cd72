"""What the demos share: their folder, their training, their clock, their report."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biport import bundle
from biport.app.forms import Run
from biport.app.train.command import run_training
from biport.errors import Argument, InputError
from biport.files import check_folder_name
from biport.graph import Graph
from biport.json_file import write_json
from biport.training import folder as files
from biport.training.recipe import Recipe

REPEATS, WARMING = 9, 2


def prepare(output: Path, own: Sequence[str], force: bool) -> None:
    """Make an empty folder, or empty one of the files called ``own`` that an earlier demo left.

    Raises:
        InputError: it is no folder, or holds something else.
    """
    check_folder_name(output)
    names = sorted(entry.name for entry in output.iterdir()) if output.exists() else []
    foreign = [name for name in names if name not in own]
    refusal = f"{output}: holds {', '.join((foreign or names)[:3])}; "
    if foreign:
        raise InputError(f"{refusal}give an empty folder")
    if names and not force:
        raise InputError(f"{refusal}use ", Argument("force", True), " to replace an earlier demo")
    for name in names:
        path = output / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(exist_ok=True)


def trained(recipe: Recipe, folder: Path, *, quiet: bool) -> Graph:
    """The best model of a run in Keras, which is left in ``folder``."""
    # torch first: importing it after tensorflow has been seen to crash.
    import torch  # noqa: F401

    run_training(
        recipe, framework="keras", output=folder, initial=None, resume=False, force=False, quiet=quiet
    )
    return bundle.read(folder / files.MODEL)


def median_milliseconds(run: Run, batch: list[np.ndarray]) -> float:
    """How long a form takes for a batch, the first calls left out."""
    times = []
    for _ in range(WARMING + REPEATS):
        start = time.perf_counter()
        run(batch)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARMING:])


def write_report(output: Path, data: dict[str, Any]) -> None:
    """``report.json``."""
    write_json(output / "report.json", data)
