"""``biport bench``: the race, its table, and a folder with the figures and a chart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from biport.app.bench.run import Race
from biport.app.bench.run import race as run_race
from biport.app.progress import show_progress
from biport.errors import Argument, InputError, MissingDependencyError
from biport.extras import missing
from biport.files import check_folder_name, check_target, write_files
from biport.graph import Graph


def run_command(
    graph: Graph,
    *,
    name: str,
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
        check_folder_name(output)
        check_target(output, force)
    options: dict[str, Any] = {"forms": forms} if forms else {}
    sizes = {"batches": _numbers("batches", batches), "steps": _numbers("steps", steps)}
    with show_progress(quiet) as display:
        measured = run_race(
            graph,
            **sizes,
            threads=threads,
            seconds=seconds,
            seed=seed,
            progress=lambda size: display.step(f"measuring {size}"),
            **options,
        )
    lines = [measured.text]
    if output is not None:
        lines += [f"written: {path}" for path in write(measured, output, name)]
    return _data(measured, name), "\n".join(lines)


def _data(measured: Race, name: str) -> dict[str, Any]:
    return {"model": name, **measured.to_json()}


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(Argument(name, text), ": should be numbers with commas between them") from error


def write(race: Race, folder: Path, name: str) -> list[Path]:
    """``bench.json``, ``bench.md`` and, where matplotlib is there, ``bench.png``; ``name`` is the model's."""
    text, data = f"# {name}\n\n{race.text}\n", json.dumps(_data(race, name), indent=1)
    writers: dict[str, Callable[[Path], object]] = {
        "bench.json": lambda path: path.write_text(data),
        "bench.md": lambda path: path.write_text(text),
    }
    with contextlib.suppress(MissingDependencyError):
        figure = draw(race, name)
        writers["bench.png"] = lambda path: figure.savefig(path, dpi=150)
    return write_files(folder, writers)


def draw(race: Race, model: str) -> Any:
    """A picture: a group of bars for each size, a bar for each form, milliseconds on a logarithmic axis.

    Args:
        race: what was measured.
        model: what its model is called.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("'matplotlib' is not installed", "train") from error
    figure = Figure(figsize=(4 + 1.6 * len(race.cells), 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(race.names)
    for number, name in enumerate(race.names):
        heights = [cell.times.median(name) for cell in race.cells]
        positions = [group + number * width for group in range(len(race.cells))]
        axes.bar(positions, heights, width, label=name)
    middle = 0.4 - width / 2
    axes.set_xticks([group + middle for group in range(len(race.cells))])
    axes.set_xticklabels([f"N {cell.N}, T {cell.T}" for cell in race.cells])
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds a batch (median)")
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(f"{model}\n{race.machine.partition(';')[0]}", fontsize=9)
    # Beside the bars, of which any may be as high as the picture.
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
