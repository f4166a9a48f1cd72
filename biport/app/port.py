"""A graph to a file or folder that has been tried before it is kept."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport import bundle
from biport.analysis.padding import masked_axes
from biport.analysis.text_model import unsaid_lengths
from biport.app.forms import folder_form, graph_form, open_form
from biport.app.progress import show_progress
from biport.app.verify import verify
from biport.compare.report import Report
from biport.compare.tolerance import Verdict
from biport.errors import DifferentError, MissingDependencyError
from biport.graph import Graph
from biport.rewrite.biases import summed_biases

Check = Callable[[Path], Report | None]
"""Tries what is written, and says how it went."""


@dataclass(frozen=True)
class WrittenModel:
    """What was written, and how it was tried.

    Args:
        report: the comparison with the oracle; ``None`` where there was none.
        why: why there was none.
        notes: what somebody who ports the model should know.
    """

    report: Report | None
    why: str
    notes: Sequence[str]

    @property
    def text(self) -> str:
        """How it was tried, as a line."""
        if self.report is None:
            return f"not verified: {self.why}"
        form = self.report.lines[-1].form
        return f"{form}: {self.report.verdict} as the oracle, {self.report.figure}"

    def to_json(self) -> dict[str, Any] | None:
        """The report as plain data."""
        return self.report and self.report.to_json()


def write_verified(
    graph: Graph,
    to: str,
    output: Path,
    *,
    overwrite: bool,
    verified: bool,
    quiet: bool,
    options: Mapping[str, Any] | None = None,
) -> WrittenModel:
    """Write ``graph`` as a folder of plain PyTorch, a bundle, a Keras file or an ONNX file.

    Args:
        graph: the model.
        to: ``"torch"``, ``"bundle"``, ``"keras"`` or ``"onnx"``.
        output: the file or folder.
        overwrite: replace what is there.
        verified: compare what is written with the oracle before it is kept.
        quiet: say nothing on the way.
        options: of `torch_side.write_folder`, `bundle.write` or `export.write`.

    Raises:
        DifferentError: it computes something else; it is not left behind.
        BiportError: it cannot be written.
    """
    reports: list[Report] = []
    missing: list[str] = []

    def check(path: Path) -> Report | None:
        try:
            opened = folder_form(path, graph) if to == "torch" else open_form(path)
            form = dataclasses.replace(opened, name=output.name)
        except MissingDependencyError as error:
            missing.append(str(error))
            return None
        report = verify(graph_form("the graph", graph), form)
        if report.verdict is Verdict.DIFFERENT:
            raise DifferentError(f"{output} was not kept: it differs from the model\n{report.table}")
        reports.append(report)
        return report

    with show_progress(quiet) as display:
        display.step(f"writing {output}" + (" and comparing it with the oracle" if verified else ""))
        notes = _WRITERS[to](graph, output, overwrite, check if verified else None, options or {})
    why = missing[0] if missing else "not asked for"
    return WrittenModel(reports[0] if reports else None, why, notes)


def _write_torch(
    graph: Graph, output: Path, overwrite: bool, check: Check | None, options: Mapping[str, Any]
) -> Sequence[str]:
    import torch_side

    torch_side.write_folder(graph, output, overwrite=overwrite, check=check, **options)
    return _unsaid(graph)


def _write_bundle(
    graph: Graph, output: Path, overwrite: bool, check: Check | None, options: Mapping[str, Any]
) -> Sequence[str]:
    bundle.write(graph, output, overwrite=overwrite, check=_silent(check), **options)
    return _unsaid(graph)


def _unsaid(graph: Graph) -> list[str]:
    unsaid = unsaid_lengths(graph.inputs, graph.tokenizers, masked_axes(graph) is not None)
    return [unsaid] if unsaid else []


def _silent(check: Check | None) -> Callable[[Path], None] | None:
    def silent(path: Path) -> None:
        assert check is not None
        check(path)

    return None if check is None else silent


def _write_keras(
    graph: Graph, output: Path, overwrite: bool, check: Check | None, options: Mapping[str, Any]
) -> Sequence[str]:
    import keras_side

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="two biases were added up|Keras cannot be told")
        keras_side.save(graph, output, overwrite=overwrite, texts=True, check=_silent(check))
    notes = [f"{name}: two biases were added up, Keras keeps one" for name in summed_biases(graph)]
    notes += [
        f"the tokeniser of input {name!r} is not in the file, which takes ids: {tokenizer.summary}"
        for name, tokenizer in graph.tokenizers.items()
        if name not in keras_side.spoken(graph)
    ]
    if graph.alphabet is not None:
        notes.append(f"a Keras file has no room for what its classes are called: {graph.alphabet.summary}")
    notes += [f"Keras cannot be told of training: {untold}" for untold in keras_side.unwritten(graph)]
    if names := keras_side.custom_objects(output):
        notes.append(f"Keras has no {', '.join(names)}: load {output.name} with custom_objects.py beside it")
    return notes


def _write_onnx(
    graph: Graph, output: Path, overwrite: bool, check: Check | None, options: Mapping[str, Any]
) -> Sequence[str]:
    import export

    written = export.write(graph, output, overwrite=overwrite, check=_silent(check), **options)
    beside = [] if written.check is None else [f"check vectors beside it: {written.check}"]
    return [*written.notes, *beside]


_WRITERS = {"torch": _write_torch, "bundle": _write_bundle, "keras": _write_keras, "onnx": _write_onnx}
