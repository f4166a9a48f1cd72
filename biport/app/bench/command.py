"""``biport bench``: the race, its table, and a folder with the figures and a chart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biport.app.bench.run import Race
from biport.app.bench.run import race as run_race
from biport.app.progress import show_progress
from biport.errors import Argument, InputError, MissingDependencyError
from biport.extras import missing
from biport.files import atomic_file, check_folder_name, check_target, new_folder
from biport.graph import Graph
from biport.training.curves import save_figure


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
            progress=lambda size: display.update(f"measuring {size}"),
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
    with new_folder(folder):
        return _written(race, folder, name)


def _written(race: Race, folder: Path, name: str) -> list[Path]:
    texts = {"bench.json": json.dumps(_data(race, name), indent=1), "bench.md": f"# {name}\n\n{race.text}\n"}
    for file, text in texts.items():
        with atomic_file(folder / file) as draft:
            draft.write_text(text)
    written = [folder / file for file in texts]
    with contextlib.suppress(MissingDependencyError):
        written.append(draw(race, folder / "bench.png", name))
    return written


def draw(race: Race, path: Path, model: str) -> Path:
    """A picture: a group of bars for each size, a bar for each form, milliseconds on a logarithmic axis.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("'matplotlib' is not installed", "train") from error
    figure = Figure(figsize=(2 + 1.6 * len(race.cells), 4.5), layout="constrained")
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
    save_figure(figure, path)
    return path
