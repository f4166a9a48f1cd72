"""What `biport.verify` gives: a line for each output, form and level, as text and as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biport.compare.agreement import Agreement
from biport.compare.evidence import Evidence
from biport.compare.finding import Finding
from biport.compare.gate import Gate, missed
from biport.compare.tolerance import Error, Verdict


@dataclass(frozen=True)
class Line:
    """One output of one form: the measured error and what was allowed.

    ``evidence`` is how the errors lie; ``None`` where there are none, as of gradients and of forms that fail.
    """

    form: str
    output: str
    level: str
    verdict: Verdict
    error: Error
    allowed: float
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    @property
    def badness(self) -> tuple[bool, float]:
        """Larger is worse: whether it differs, then the error in parts of what was allowed."""
        return self.verdict is Verdict.DIFFERENT, self.error.maximum / (self.allowed or 1.0)

    def to_json(self) -> dict[str, Any]:
        """The line as plain data; an infinite error is ``null``."""
        finite = math.isfinite(self.error.maximum)
        return {
            "form": self.form,
            "output": self.output,
            "level": self.level,
            "verdict": str(self.verdict),
            "maximum": self.error.maximum if finite else None,
            "percentile_99_9": self.error.percentile if finite else None,
            "worst": {"case": self.error.worst[0], "index": list(self.error.worst[1])},
            "allowed": self.allowed,
            "at_fault": self.verdict is Verdict.DIFFERENT,
            "note": self.error.note,
        }


@dataclass(frozen=True)
class Origin:
    """What a report is of: the oracle, the inputs, and the machine.

    Args:
        source: the form whose model is the oracle.
        seed: of the random inputs; ``None`` where the inputs were given.
        inputs: dtype and shape of each input, by case and name.
        date: when it was made.
        versions: of the packages that are installed, by name.
        system: the operating system and the processor.
    """

    source: str
    seed: int | None
    inputs: Mapping[str, Mapping[str, str]]
    date: str
    versions: Mapping[str, str]
    system: str


@dataclass(frozen=True)
class Report:
    """What `biport.verify` found.

    Args:
        lines: one for each form, output and level.
        weights: for each form that biport can read, the weights that are not the source's bit for bit.
        cases: the names of the inputs it ran on.
        digest: the SHA-256 of the source's graph.
        trace: where each form that differs first does; ``None`` where that was not asked.
        notes: what was asked for and could not be compared, and why.
        tolerance: what was allowed at L2 where somebody said so, in place of the policy; errors there are
            absolute.
        origin: what it is of; ``None`` of one that `biport.verify` did not make.
        gates: what was asked for beside, figures with their limits.
        agreement: how the labels go with the source's, for each form and output that has some, where that was
            asked or the inputs are of a file.
        data: the file that the inputs are of: path, digest, columns and rows; ``None`` where there is none.
        data_text: the same in words.
    """

    lines: Sequence[Line]
    weights: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cases: Sequence[str] = ()
    digest: str = ""
    trace: Sequence[Finding] | None = None
    notes: Sequence[str] = ()
    tolerance: float | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    gates: Sequence[Gate] = ()
    agreement: Sequence[Agreement] = ()
    data: Mapping[str, Any] | None = None
    data_text: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all lines."""
        verdicts = {line.verdict for line in self.lines}
        for verdict in (Verdict.DIFFERENT, Verdict.ILL_CONDITIONED):
            if verdict in verdicts:
                return verdict
        return Verdict.SAME

    @property
    def ok(self) -> bool:
        """Whether everything is the same, and no gate is missed."""
        return self.verdict is Verdict.SAME and not self.missed

    @property
    def missed(self) -> list[Gate]:
        """The gates that do not keep their limit."""
        return missed(self.gates)

    @property
    def at_fault(self) -> list[str]:
        """The forms that differ from the oracle."""
        return list(dict.fromkeys(line.form for line in self.lines if line.verdict is Verdict.DIFFERENT))

    @property
    def maximum(self) -> float:
        """The largest error of all float32 lines."""
        return max((line.error.maximum for line in self.lines if line.level == "L2"), default=0.0)

    @property
    def worst(self) -> Line | None:
        """The line with the largest error, in parts of what was allowed; of those that differ, if some do."""
        return max(self.lines, key=lambda line: line.badness, default=None)

    @property
    def figure(self) -> str:
        """The largest error, in parts of what was allowed, and what that was."""
        if self.worst is None:
            return "no number to compare"
        return f"largest error {self.worst.error.maximum:.1e}, allowed {self.worst.allowed:.1e}"

    @property
    def table(self) -> str:
        """The report as lines of text."""
        rows = [_HEADINGS, *(_cells(line) for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        text = [
            "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        for form, differing in self.weights.items():
            some = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
            state = "equal bit for bit" if not differing else f"{len(differing)} differ: {some}"
            text.append(f"L0 weights of {form}: {state}")
        text += [f"measured on {self.data_text}"] if self.data_text else []
        text += [line for one in self.agreement for line in one.text]
        text += [f"note: {note}" for note in self.notes]
        text += [f"gate: {gate.text}" for gate in self.gates]
        fault = f"; at fault: {', '.join(self.at_fault)}" if self.at_fault else ""
        gates = f"; {len(self.missed)} of {len(self.gates)} gates missed" if self.missed else ""
        return "\n".join([*text, f"verdict: {self.verdict}{fault}; {self.figure}{gates}", *self._trace()])

    def _trace(self) -> list[str]:
        if self.trace is None:
            return []
        rest = "" if self.verdict is Verdict.SAME else " by more than rounding does"
        return [finding.text for finding in self.trace] or [f"no form differs from the oracle{rest}"]

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "verdict": str(self.verdict),
            "ok": self.ok,
            "largest_error": self.worst and self.worst.to_json(),
            "at_fault": self.at_fault,
            "cases": list(self.cases),
            "digest": self.digest,
            "lines": [line.to_json() for line in self.lines],
            "weights": {form: list(differing) for form, differing in self.weights.items()},
            "notes": list(self.notes),
            "tolerance": self.tolerance,
            "gates": [gate.to_json() for gate in self.gates],
            "labels": [one.to_json() for one in self.agreement],
            "data": None if self.data is None else dict(self.data),
            **({} if self.trace is None else {"trace": [finding.to_json() for finding in self.trace]}),
        }


_HEADINGS = ("form", "output", "level", "verdict", "maximum", "99.9 %", "allowed", "worst at", "note")


def _cells(line: Line) -> tuple[str, ...]:
    case, index = line.error.worst
    return (
        line.form,
        line.output,
        line.level,
        str(line.verdict),
        f"{line.error.maximum:.2e}",
        f"{line.error.percentile:.2e}",
        f"{line.allowed:.2e}",
        f"{case} {list(index)}" if case or index else "",
        line.error.note,
    )
