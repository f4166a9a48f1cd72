"""`biport.testing.assert_same`: several forms of one model, and where they part if they do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.testing.output import for_test
from biport.app.user_data import Examples
from biport.app.verify import verify
from biport.compare.report import Line, Report
from biport.compare.tolerance import Verdict
from biport.errors import InputError
from biport.file_kind import FileKind, file_kind
from biport.inputs import Inputs


def assert_same(
    *forms: Any,
    inputs: Inputs | Examples | str | os.PathLike[str] | None = None,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    expected: Inputs | np.ndarray | str | os.PathLike[str] | None = None,
    text: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    float64: bool = False,
    gradients: bool = False,
    example: Any = None,
    config: Any = None,
    states: str | None = None,
) -> Report:
    """Assert that forms of one model compute the same, each of them beside the float64 oracle.

    The first form that biport can read is the source, and the oracle is the reference in float64 of the graph
    that was read from it. The other forms need not be readable.

    Args:
        forms: two or more of what `biport.verify` takes: live Keras models, torch modules, graphs,
            ``export.Session``, paths of Keras files, bundles, ``.pt2`` and ``.onnx`` files.
        inputs: one array for each input, in order or by name, or the path of an ``.npz`` or ``.npy`` of them,
            or of a ``.csv``, ``.tsv``, ``.jsonl`` or ``.txt`` of texts, where a form carries a tokeniser; by
            default random ones under every pattern of mask.
        tolerance: ``None``: the policy of `biport.compare.tolerance`, which asks for no more than what
            rounding does to this very model. A number: in float32, no number of any output of any form, the
            source among them, may be further from the oracle's than that, ``max(abs(form - oracle)) <=
            tolerance``, in the units of the output. Float64 and gradients are judged by the policy all the
            same.
        min_agreement: the least share of rows, or of steps that are no padding, to which every form should
            give the source's label.
        expected: what your own pipeline gave for the rows of ``inputs``, by the names of outputs; or a file.
        text: of a file of texts, the column.
        label: of a file, the column of the labels; the report then has every form's accuracy.
        labels: what the classes are called, where no form says it.
        seed: of the random inputs.
        float64: also compare in float64, to 1e-12, the forms that can compute in it.
        gradients: also compare the gradients of every weight, of the forms that have any.
        example: how torch modules are called that do not know their inputs, see ``torch_side.read``.
        config: the configuration of Keras files that hold weights alone.
        states: what is read of the states that stateful Keras models keep, see ``keras_side.read``.

    Returns:
        The report, in which everything is the same, and no gate missed.

    Raises:
        AssertionError: a form differs from the oracle, or fails to run, or a gate is missed: the message is
            the report's table, and where each such form first differs. It is raised as well, and says so,
            where nothing can be asserted: the model is ill-conditioned, so that rounding alone makes such a
            difference.
        BiportError: a form cannot be opened, none can be read, the inputs do not suit the model, or there is
            no number to compare.

    Example::

        from biport.testing import assert_same

        assert_same("model.keras", "model.onnx")
        assert_same(keras_model, module, "small.onnx", inputs="reviews.npz", tolerance=0.02)
        assert_same("reference", "small.onnx", inputs="reviews.csv", tolerance=0.1, min_agreement=0.999)
    """
    __tracebackhide__ = True
    return compare(
        *forms,
        inputs=inputs,
        tolerance=tolerance,
        min_agreement=min_agreement,
        expected=expected,
        text=text,
        label=label,
        labels=labels,
        seed=seed,
        float64=float64,
        gradients=gradients,
        example=example,
        config=config,
        states=states,
    ).checked()


@dataclass(frozen=True)
class Comparison:
    """Forms that were compared.

    Args:
        report: what `biport.verify` says.
        inputs: on what, in words.
    """

    report: Report
    inputs: str

    @property
    def source(self) -> str:
        """The form that the oracle was made of."""
        assert self.report.origin is not None
        return self.report.origin.source

    @property
    def forms(self) -> list[str]:
        """Their names."""
        return list(dict.fromkeys(line.form for line in self.report.lines))

    @property
    def headline(self) -> str:
        """What came out, as a line."""
        others = ", ".join(form for form in self.forms if form != self.source) or self.source
        if self.report.missed and self.report.verdict is Verdict.SAME:
            return "; ".join(gate.text for gate in self.report.missed)
        if self.report.ok:
            return f"{others}: the same as {self.source}; {self.report.figure}"
        if self.report.verdict is Verdict.ILL_CONDITIONED:
            return (
                f"{others}: neither the same as {self.source} nor different, as far as can be said: "
                "the model is ill-conditioned, rounding alone makes such differences"
            )
        return "; ".join(self._fault(form) for form in self.report.at_fault)

    @property
    def text(self) -> str:
        """All of it, as lines."""
        advice = []
        if self.report.verdict is Verdict.ILL_CONDITIONED:
            advice = [
                "of such a model one can assert that it stays within what its use can bear, "
                "tolerance=NUMBER, on inputs that it is used with, inputs=FILE"
            ]
        return "\n".join([self.headline, "", self.report.table, *advice, f"inputs: {self.inputs}"])

    def checked(self) -> Report:
        """The report, if everything is the same.

        Raises:
            AssertionError: it is not; the message is `text`.
        """
        __tracebackhide__ = True
        if not self.report.ok:
            raise AssertionError(self.text)
        return self.report

    def _fault(self, form: str) -> str:
        """What is wrong with a form."""
        line = max(
            (line for line in self.report.lines if line.form == form and line.verdict is Verdict.DIFFERENT),
            key=lambda line: line.error.maximum / (line.allowed or 1.0),
        )
        finding = next((one for one in self.report.trace or () if one.form == form and one.node), None)
        first = ""
        if finding is not None:
            # Before it there may be nodes that cannot be seen.
            first = f", first {'seen ' if finding.suspects else ''}at node {finding.node!r}"
        return f"{form} differs from {self._yardstick(form)}: {_how(line)}{first}"

    def _yardstick(self, form: str) -> str:
        """What a form should compute the same as."""
        if form != self.source:
            return self.source
        # Of a model that is not read there is no graph, and so no digest of one.
        return (
            "the float64 reference of what biport read from it" if self.report.digest else "itself in float64"
        )


def _how(line: Line) -> str:
    if line.error.note:
        return line.error.note
    return f"off by {line.error.maximum:.1e} where {line.allowed:.1e} is allowed ({line.level})"


def compare(
    *forms: Any,
    inputs: Inputs | Examples | str | os.PathLike[str] | None = None,
    **options: Any,
) -> Comparison:
    """Compare forms of one model; the options are those of `assert_same`.

    Raises:
        BiportError: see `assert_same`.
    """
    __tracebackhide__ = True
    _torch_before_tensorflow(forms)
    report = for_test(
        lambda: verify(
            *forms,
            inputs=inputs,
            trace="auto",
            **options,
        )
    )
    if report.ok and not any(line.error.worst[0] for line in report.lines):
        raise InputError("there is no number to compare: on these inputs all outputs are empty")
    return Comparison(report, _inputs_in_words(inputs, report, options.get("seed", 0)))


def _inputs_in_words(inputs: object, report: Report, seed: int) -> str:
    if inputs is None:
        return f"random, seed {seed}: {', '.join(report.cases)}"
    return report.data_text or "those that were given"


def _torch_before_tensorflow(forms: Sequence[Any]) -> None:
    """Importing torch after tensorflow has been seen to crash, and files say only when they are opened."""
    paths = [Path(form) for form in forms if isinstance(form, str | os.PathLike)]
    if any(path.is_dir() or (path.is_file() and file_kind(path) is FileKind.EXPORTED) for path in paths):
        with contextlib.suppress(ImportError):
            import torch  # noqa: F401
