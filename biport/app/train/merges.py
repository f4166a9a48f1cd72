"""``biport compare-merges``: one recipe with each way of merging the directions, in each framework."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, InputError, MissingDependencyError
from biport.extras import missing
from biport.files import check_folder_name, new_folder
from biport.json_file import write_json
from biport.tables import markdown_table
from biport.training import folder as files
from biport.training.curves import save_figure
from biport.training.progress import Epoch

MERGES = ("concat", "sum", "ave", "mul")
TABLE, PICTURE = "merges.json", "merges.png"


@dataclass(frozen=True)
class Row:
    """One run.

    Args:
        merge: how the directions were merged.
        framework: what trained it.
        accuracy: of the best model on the rows for testing.
        loss: likewise.
        seconds: for an epoch, the median.
        epochs: loss and accuracy of each.
    """

    merge: str
    framework: str
    accuracy: float
    loss: float
    seconds: float
    epochs: Sequence[Epoch]

    def to_json(self) -> dict[str, Any]:
        """The run as plain data."""
        return vars(self) | {"epochs": [vars(epoch) for epoch in self.epochs]}


def compare_merges(
    options: Sequence[str],
    *,
    frameworks: Sequence[str],
    merges: Sequence[str],
    output: Path,
    told: Callable[[str], None],
) -> tuple[dict[str, Any], str]:
    """Train each merge in each framework, the frameworks from the same first weights; what came of it.

    Runs that are finished in ``output`` are kept, one that was interrupted goes on: the same command again.

    Args:
        options: of ``biport train sentiment``, handed on.
        frameworks: ``keras``, ``torch`` or both.
        merges: of `MERGES`.
        output: a folder, for a run each, ``merges.json`` and ``merges.png``.
        told: a line before each run.

    Raises:
        InputError: a merge is none, or a run failed; the message is what it said.
    """
    unknown = [merge for merge in merges if merge not in MERGES]
    if unknown:
        raise InputError(Argument("merge", unknown[0]), f": should be one of {', '.join(MERGES)}")
    check_folder_name(output)
    with new_folder(output):
        rows = _rows(options, frameworks, merges, output, told)
    data = {"rows": [row.to_json() for row in rows]}
    write_json(output / TABLE, data)
    lines = [_table(rows), "", f"written to {output}"]
    try:
        _draw(rows, output / PICTURE, files.model_name(output / f"{merges[0]}-{frameworks[0]}"))
    except MissingDependencyError as error:
        lines.append(f"no {PICTURE}: {error}")
    return data | {"output": str(output)}, "\n".join(lines)


def _rows(
    options: Sequence[str],
    frameworks: Sequence[str],
    merges: Sequence[str],
    output: Path,
    told: Callable[[str], None],
) -> list[Row]:
    rows = []
    for merge, framework in itertools.product(merges, frameworks):
        folder = output / f"{merge}-{framework}"
        first = output / f"{merge}-{frameworks[0]}" / files.INITIAL
        start = [] if framework == frameworks[0] else ["--initial", str(first)]
        if not _finished(folder):
            told(f"{merge} in {framework}")
            _train(folder, framework, [*options, "--set", f"merge={merge}", *start])
        rows.append(_row(merge, framework, folder))
    return rows


def _finished(folder: Path) -> bool:
    try:
        return files.read_whole_history(folder)["test"] is not None
    except (FileError, InputError):
        return False


def _train(folder: Path, framework: str, options: Sequence[str]) -> None:
    """A run in a process of its own: one framework a process."""
    begun = ["--resume"] if (folder / files.RECIPE).exists() else []
    command = [sys.executable, "-m", "biport", "train", "sentiment", "--framework", framework]
    done = subprocess.run(
        [*command, "-o", str(folder), *options, *begun, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        try:
            said = json.loads(done.stdout)["error"]["message"]
        except (ValueError, KeyError):
            said = f"it ended with code {done.returncode}"
        raise InputError(f"{folder.name}: {said}")


def _row(merge: str, framework: str, folder: Path) -> Row:
    history = files.read_whole_history(folder)
    seconds = sorted(history["seconds"])
    return Row(
        merge=merge,
        framework=framework,
        accuracy=history["test"]["accuracy"],
        loss=history["test"]["loss"],
        seconds=seconds[len(seconds) // 2],
        epochs=[Epoch(**epoch) for epoch in history["epochs"]],
    )


def _table(rows: Sequence[Row]) -> str:
    head = ["merge", "framework", "test accuracy", "test loss", "seconds an epoch"]
    cells = [
        [row.merge, row.framework, f"{row.accuracy:.2%}", f"{row.loss:.4f}", f"{row.seconds:.1f}"]
        for row in rows
    ]
    return markdown_table([head, *cells], "<<>")


def _draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Validation loss over the epochs, and test accuracies side by side."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise missing(f"it needs matplotlib ({error})", "train") from error
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    merges = list(dict.fromkeys(row.merge for row in rows))
    frameworks = list(dict.fromkeys(row.framework for row in rows))
    width = 0.8 / len(frameworks)
    for row in rows:
        group, side = merges.index(row.merge), frameworks.index(row.framework)
        color = f"C{group}"
        style = "-" if side == 0 else "--"
        label = f"{row.merge}, {row.framework}"
        left.plot(
            [epoch.epoch for epoch in row.epochs],
            [epoch.validation_loss for epoch in row.epochs],
            style,
            color=color,
            marker=".",
            label=label,
        )
        x = group + (side - (len(frameworks) - 1) / 2) * width
        bars = right.bar(x, 100 * row.accuracy, width, color=color, alpha=1 - 0.4 * side, edgecolor="black")
        right.bar_label(bars, [f"{100 * row.accuracy:.1f}\n{row.framework}"], fontsize=7)
    left.set_xlabel("epoch")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylabel("validation loss")
    left.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.suptitle(title)
    least = min(100 * row.accuracy for row in rows)
    right.set_ylim(max(0.0, least - 5), min(102.0, 100 * max(row.accuracy for row in rows) + 4))
    right.set_xticks(range(len(merges)), merges)
    right.set_ylabel("test accuracy, %")
    save_figure(figure, path)
