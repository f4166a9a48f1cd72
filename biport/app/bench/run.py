"""The race: every form over a grid of sizes, in turn."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.bench.contestants import FORMS, gather
from biport.app.measure import Times, machine, take_turns
from biport.compare.cases import padding_values, random_inputs
from biport.errors import InputError
from biport.graph import Graph
from biport.inputs import row_lengths, safe_bounds, time_axis
from biport.ops import FLOATS
from biport.tables import markdown_table

PACKAGES = ("onnxruntime", "tf2onnx", "torch", "keras", "tensorflow")


@dataclass(frozen=True)
class SizeTimes:
    """One size.

    Args:
        N: rows of the batch.
        T: steps of the longest row.
        times: of every form.
        differences: of every form the largest from the first one's outputs.
    """

    N: int
    T: int
    times: Times
    differences: Mapping[str, float]


@dataclass(frozen=True)
class Race:
    """What was measured.

    Args:
        names: the forms that took part; ratios are to the first.
        missing: why others did not.
        cells: one for each size.
        threads: for one operator, of every form.
        machine: what it ran on.
    """

    names: Sequence[str]
    missing: Mapping[str, str]
    cells: Sequence[SizeTimes]
    threads: int
    machine: str

    @property
    def text(self) -> str:
        """Tables for a terminal, in Markdown."""
        first, *others = self.names
        lines = [self.machine, f"{self.threads} threads for an operator", ""]
        lines.append(self._table("ms", self.names, lambda cell, name: cell.times.median(name)))
        if others:
            lines += ["", f"times as long as {first}:"]
            lines.append(self._table("", others, lambda cell, name: cell.times.ratio(name, first)))
            worst = {name: max(cell.differences[name] for cell in self.cells) for name in others}
            shown = ", ".join(f"{name} {difference:.1g}" for name, difference in worst.items())
            lines += ["", f"largest difference from {first}: {shown}"]
        return "\n".join([*lines, *(f"not there: {name}: {why}" for name, why in self.missing.items())])

    def _table(self, corner: str, names: Sequence[str], figure: Callable[[SizeTimes, str], float]) -> str:
        rows = [
            [f"N {cell.N} T {cell.T}", *(f"{figure(cell, name):.2f}" for name in names)]
            for cell in self.cells
        ]
        return markdown_table([[corner, *names], *rows], "<>")

    def to_json(self) -> dict[str, Any]:
        """All that was measured, in milliseconds."""
        cells = [
            {
                "N": cell.N,
                "T": cell.T,
                "median_ms": {name: cell.times.median(name) for name in self.names},
                "ratio": {name: cell.times.ratio(name, self.names[0]) for name in self.names},
                "difference": dict(cell.differences),
                "turns": {name: list(turns) for name, turns in cell.times.turns.items()},
            }
            for cell in self.cells
        ]
        return {
            "machine": self.machine,
            "threads": self.threads,
            "forms": list(self.names),
            "missing": dict(self.missing),
            "cells": cells,
        }


def race(
    graph: Graph,
    *,
    batches: Sequence[int] = (1, 8, 32),
    steps: Sequence[int] = (50, 200),
    forms: Sequence[str] = FORMS,
    threads: int = 1,
    seconds: float = 2.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Race:
    """Run the forms of a model in turn.

    Rows are a fifth of T long to all of it, padded at the right, where the model has masks; otherwise full.

    Args:
        graph: the model.
        batches: sizes N.
        steps: lengths T; where the model fixes T only that one.
        forms: of `FORMS`.
        threads: for one operator, of every form.
        seconds: for each size.
        seed: of the inputs.
        progress: told of each size.

    Raises:
        InputError: a size or a form is none, or no form can be had.
    """
    if min(*batches, *steps, threads, 1) < 1 or not batches or not steps or seconds <= 0:
        raise InputError("batches, steps, threads and seconds should be above 0")
    times = [value.shape[axis] for value in graph.inputs if (axis := time_axis(value.shape)) is not None]
    fixed = [size for size in times if isinstance(size, int)]
    lengths = fixed[:1] or list(steps)
    with tempfile.TemporaryDirectory() as folder:
        contestants = gather(graph, forms, threads, Path(folder))
        if not contestants.forms:
            raise InputError(f"no form can be had: {contestants.missing}")
        runs = {name: form.run for name, form in contestants.forms.items()}
        cells = []
        for N, T in itertools.product(batches, lengths):
            progress(f"N {N} T {T}")
            cells.append(_cell(runs, inputs(graph, N, T, seed), N, T, seconds))
    return Race(list(runs), contestants.missing, cells, threads, machine(*PACKAGES))


def _cell(runs: Mapping[str, Any], arrays: Sequence[np.ndarray], N: int, T: int, seconds: float) -> SizeTimes:
    outputs = {name: run(arrays) for name, run in runs.items()}
    first = next(iter(outputs.values()))
    differences = {
        name: max(float(np.abs(np.asarray(a) - b).max(initial=0)) for a, b in zip(values, first, strict=True))
        for name, values in outputs.items()
    }
    turns = {name: lambda run=run: run(arrays) for name, run in runs.items()}
    return SizeTimes(N, T, take_turns(turns, seconds=seconds), differences)


def inputs(graph: Graph, N: int, T: int, seed: int = 0) -> list[np.ndarray]:
    """Ids or features of N rows, the first one T long, padded with 0 where the model has masks."""
    rng = np.random.default_rng([seed, N, T])
    masked = any(mask is not None for node in graph.nodes for mask in node.masks)
    lengths = rng.integers(max(1, T // 5), T + 1, N) if masked else np.full(N, T)
    lengths[0] = T
    if row_lengths(graph):
        # As packing takes them by default.
        lengths = -np.sort(-lengths)
    # Features are padded too, whether or not a mask is made of them: with zeros, or what it is made of.
    padding = {
        value.name: 0.0
        for value in graph.inputs
        if value.dtype in FLOATS and len(value.shape) > 2 and time_axis(value.shape) is not None
    }
    return random_inputs(
        graph.inputs,
        N,
        T,
        rng,
        lengths=lengths,
        id_bounds=safe_bounds(graph),
        unbounded=2,
        padding=padding | padding_values(graph),
        rows=row_lengths(graph),
    )
