"""``biport bench``: the race, its table, and a folder with the figures and a chart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biport.app.bench.run import Race, race
from biport.errors import InputError, MissingDependencyError
from biport.files import check_target
from biport.graph import Graph


def run_command(
    graph: Graph,
    *,
    batches: str,
    steps: str,
    forms: Sequence[str],
    threads: int,
    seconds: float,
    seed: int,
    output: Path | None,
    force: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """The race as data and as text.

    Raises:
        InputError: an option is none, or the folder is there already.
    """
    if output is not None:
        check_target(output, force)
        if output.is_file():
            raise InputError(f"{output}: is a file; the figures go into a folder")
    options: dict[str, Any] = {"forms": forms} if forms else {}
    found = race(
        graph,
        batches=_numbers("--batches", batches),
        steps=_numbers("--steps", steps),
        threads=threads,
        seconds=seconds,
        seed=seed,
        progress=_silent if quiet or not sys.stderr.isatty() else _told,
        **options,
    )
    lines = [found.text]
    if output is not None:
        lines += [f"written: {path}" for path in write(found, output)]
    return found.to_json(), "\n".join(lines)


def _silent(line: str) -> None:
    """Nobody looks."""


def _told(line: str) -> None:
    print(f"measuring {line}", file=sys.stderr)


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text}: should be numbers with commas between them") from error


def write(found: Race, folder: Path) -> list[Path]:
    """``bench.json``, ``bench.md`` and, where matplotlib is installed, ``bench.png``."""
    folder.mkdir(exist_ok=True)
    made = [folder / "bench.json", folder / "bench.md"]
    made[0].write_text(json.dumps(found.to_json(), indent=1))
    made[1].write_text(found.text + "\n")
    try:
        made.append(draw(found, folder / "bench.png"))
    except MissingDependencyError:
        return made
    return made


def draw(found: Race, path: Path) -> Path:
    """A picture: a group of bars for each size, a bar for each form, milliseconds on a logarithmic axis.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("'matplotlib' is not installed: pip install 'biport[all]'") from error
    figure = Figure(figsize=(2 + 1.6 * len(found.cells), 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(found.names)
    for number, name in enumerate(found.names):
        heights = [cell.times.median(name) for cell in found.cells]
        places = [place + number * width for place in range(len(found.cells))]
        axes.bar(places, heights, width, label=name)
    middle = 0.4 - width / 2
    axes.set_xticks([place + middle for place in range(len(found.cells))])
    axes.set_xticklabels([f"N {cell.N}, T {cell.T}" for cell in found.cells])
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds a batch (median)")
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(found.machine.partition(";")[0], fontsize=9)
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=120)
    return path
