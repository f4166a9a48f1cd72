"""Learning curves of one run or several as a picture, drawn by matplotlib where it is installed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biport.compare.gate import Gate
from biport.errors import InputError
from biport.extras import missing
from biport.files import atomic_file, check_target
from biport.training.progress import Epoch

SUFFIXES = (".png", ".svg", ".pdf")
METRICS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
"""What of an epoch is drawn, and compared."""


def difference_gates(runs: Mapping[str, Sequence[Epoch]], metrics: Sequence[str], most: float) -> list[Gate]:
    """How far each run is off the first one, a gate for each of the others and each metric.

    Args:
        runs: the epochs of each run by its label; two runs or more.
        metrics: of `METRICS`.
        most: what is allowed in any epoch.

    Raises:
        InputError: a run has another number of epochs than the first.

    Example:
        >>> def run(*losses: float) -> list[Epoch]:
        ...     return [Epoch(number, 0.1, loss, 0.5, loss, 0.5) for number, loss in enumerate(losses, 1)]
        >>> for gate in difference_gates({"one": run(0.5, 0.25), "two": run(0.5, 0.375)}, ["loss"], 0.1):
        ...     print(gate.text)
        difference in loss of two: 0.125, at most 0.1 is asked for (from one, in epoch 2): missed
    """
    (first, wanted), *others = runs.items()
    gates = []
    for label, epochs in others:
        if len(epochs) != len(wanted):
            raise InputError(
                f"{label} has {len(epochs)} epochs and {first} {len(wanted)}; only as many can be compared"
            )
        gates += [_difference(first, wanted, label, epochs, metric, most) for metric in metrics]
    return gates


def _difference(
    first: str, wanted: Sequence[Epoch], label: str, epochs: Sequence[Epoch], metric: str, most: float
) -> Gate:
    pairs = [
        (getattr(one, metric), getattr(other, metric)) for one, other in zip(wanted, epochs, strict=True)
    ]
    # Of runs that lost their numbers nothing can be said, even where both did.
    differences = [abs(one - other) if math.isfinite(one - other) else math.inf for one, other in pairs]
    worst = max(range(len(differences)), key=differences.__getitem__)
    details = {"run": label, "first": first, "metric": metric, "epoch": wanted[worst].epoch}
    details |= {"differences": [one if math.isfinite(one) else None for one in differences]}
    note = f"from {first}, in epoch {wanted[worst].epoch}"
    return Gate(f"difference in {metric}", label, differences[worst], most, False, note, details)


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
