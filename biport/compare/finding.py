"""Where a form first differs from the oracle and why, in words and as plain data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Position:
    """One number of a node's output.

    Args:
        case: the name of the inputs.
        row: of the batch.
        direction: ``"forward"`` or ``"backward"`` of a `Bidirectional`, or empty.
        state: which state it is, where it is one and not the output.
        step: in time; ``None`` where the output has no steps.
        scanned: how many valid steps were scanned up to and with this one; ``None`` where nothing scans.
        padded: whether the step is masked.
        unit: the unit that is furthest off.
        units: all units that are off at this step.
        value: the form's number.
        exact: the oracle's.
    """

    case: str
    row: int
    direction: str
    state: str
    step: int | None
    scanned: int | None
    padded: bool
    unit: int
    units: tuple[int, ...]
    value: float
    exact: float


@dataclass(frozen=True)
class Cause:
    """Why a node differs from the oracle, as far as that is known.

    Args:
        weights: ``{path: gates}`` of the form's weights that differ.
        settings: what it has otherwise, one clause each.
        variants: known mistakes each of which gives what the form gave.
        gates: the gates each of which alone could explain the first wrong steps; ``None`` if not tested.
        explained: whether weights and settings give what the form gave; ``None`` where that was not asked.
        own: whether the node gives the same when the oracle computes it from the form's own inputs, so that
            it only amplifies rounding.
    """

    weights: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Sequence[str] = ()
    variants: Sequence[str] = ()
    gates: Sequence[str] | None = None
    explained: bool | None = None
    own: bool = False

    @property
    def text(self) -> str:
        """In words, empty where nothing is known."""
        if self.own:
            return "computed right from its own inputs: it amplifies rounding"
        said = [*self._weights(), *self.settings]
        if said and self.explained is False:
            said.append("which does not explain all of it")
        if self.variants:
            said.append("it gives what it would give if " + ", or if ".join(self.variants))
        if self.gates is not None and not self.variants:
            said.append(_gates(self.gates))
        return "; ".join(said)

    def _weights(self) -> list[str]:
        by_gates: dict[tuple[str, ...], list[str]] = {}
        for path, gates in self.weights.items():
            by_gates.setdefault(tuple(gates), []).append(path)
        return [
            f"its weights differ in {_plural('gate', gates)} ({', '.join(paths)})"
            if gates
            else f"its weights differ ({', '.join(paths)})"
            for gates, paths in by_gates.items()
        ]


def _gates(gates: Sequence[str]) -> str:
    if not gates:
        return "explained by no single gate"
    return "could be explained by gate " + " alone, or gate ".join(gates) + " alone"


def _plural(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' * (len(names) > 1)} {', '.join(names)}"


@dataclass(frozen=True)
class Finding:
    """One form that differs from the oracle.

    Args:
        form: its name.
        node: the first node whose inputs agree and whose output does not; ``None`` where there is none.
        kind: the node's op.
        output: the value that differs.
        suspects: nodes before it whose values could not be seen: it is one of these, or ``node``.
        position: where in the node's output.
        worked_out: the position was computed with the form's weights, as the output
            has no steps, or two directions in one.
        cause: why.
        causes: the same for those of ``suspects`` that are known to be otherwise than they should be.
        notes: why something could not be seen.
    """

    form: str
    node: str | None = None
    kind: str = ""
    output: str = ""
    suspects: Sequence[str] = ()
    position: Position | None = None
    worked_out: bool = False
    cause: Cause = field(default_factory=Cause)
    causes: Mapping[str, Cause] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def text(self) -> str:
        """One line."""
        if self.node is None:
            return f"{self.form}: {'; '.join(self.notes)}"
        at = f"at node {self.node!r}"
        if self.suspects:
            at += f", so the fault is in one of {', '.join(map(repr, (*self.suspects, self.node)))}"
        where = "" if self.position is None else ", " + position_text(self.position)
        why = [self.cause.text, *(f"{name!r}: {cause.text}" for name, cause in self.causes.items())]
        if self.worked_out:
            why.insert(0, "worked out from its weights, as its output does not show it")
        said = "; ".join(part for part in (*why, *self.notes) if part)
        return f"{self.form}: first differs {at}{where}" + (f"; {said}" if said else "")

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite are ``null``."""
        position = None
        if self.position is not None:
            position = dataclasses.asdict(self.position)
            position["units"] = list(self.position.units)
            for name in ("value", "exact"):
                position[name] = position[name] if math.isfinite(position[name]) else None
        return {
            "form": self.form,
            "node": self.node,
            "kind": self.kind,
            "output": self.output,
            "suspects": list(self.suspects),
            "position": position,
            "worked_out": self.worked_out,
            "cause": _cause_json(self.cause),
            "causes": {name: _cause_json(cause) for name, cause in self.causes.items()},
            "notes": list(self.notes),
            "text": self.text,
        }


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "weights": {path: list(gates) for path, gates in cause.weights.items()},
        "settings": list(cause.settings),
        "variants": list(cause.variants),
        "gates": None if cause.gates is None else list(cause.gates),
        "explained": cause.explained,
        "amplified_rounding": cause.own,
    }


def position_text(position: Position) -> str:
    """``backward direction, step 3 (the 5th scanned), unit 2, case 'holes' row 1: 0.41 instead of 0.2``."""
    parts = [f"{position.direction} direction"] if position.direction else []
    if position.state:
        parts.append(f"final state {position.state}")
    if position.step is not None:
        parts.append(f"step {position.step}{_scanned(position)}")
    parts.append(f"unit {position.unit}")
    parts.append(f"case {position.case!r} row {position.row}")
    return f"{', '.join(parts)}: {position.value:.4g} instead of {position.exact:.4g}"


def _scanned(position: Position) -> str:
    if position.scanned is None:
        return ""
    if position.padded:
        after = f"after {position.scanned} scanned" if position.scanned else "before the first scanned"
        return f" (padding, {after})"
    return f" (the {ordinal(position.scanned)} scanned)"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``11th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
