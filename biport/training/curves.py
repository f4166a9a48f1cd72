"""Learning curves of one run or several as a picture, drawn by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biport.errors import InputError
from biport.extras import missing
from biport.files import atomic_file, check_target
from biport.training.progress import Epoch

SUFFIXES = (".png", ".svg", ".pdf")


def check_picture(path: Path, overwrite: bool) -> None:
    """Refuse a picture that cannot be written, before work is spent on it.

    Raises:
        InputError: it has another suffix, is there already, or its folder is missing.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a picture ends in {', '.join(SUFFIXES)}")
    check_target(path, overwrite)


def draw_curves(runs: Mapping[str, Sequence[Epoch]], path: Path, title: str) -> None:
    """Draw loss and accuracy over the epochs, training dashed and validation solid, a colour a run.

    Args:
        runs: the epochs of each run by its label.
        path: a ``.png``, ``.svg`` or ``.pdf`` file; it appears whole or not at all, over what is there.
        title: what the models are called.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise missing(f"curves need matplotlib ({error})", "train") from error
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        for number, (label, epochs) in enumerate(runs.items()):
            numbers = [epoch.epoch for epoch in epochs]
            # The runs of the two frameworks may lie over each other: the later one thinner, with dots.
            style = {"color": f"C{number}", "linewidth": max(1.0, 3.5 - number), "marker": "."}
            validated = [getattr(epoch, f"validation_{name}") for epoch in epochs]
            axes.plot(numbers, validated, label=f"{label}, validation", **style)
            trained = [getattr(epoch, name) for epoch in epochs]
            axes.plot(numbers, trained, "--", label=f"{label}, training", alpha=0.7, **style)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    # Both panels have the same lines; within one, a legend would lie over some of them.
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small"
    )
    figure.suptitle(title)
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure, in the form its suffix says; it appears whole or not at all."""
    with atomic_file(path) as draft:
        figure.savefig(draft, dpi=150)
