"""A gate: what somebody asks of a model in a number, and what the model has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biport.errors import Argument, InputError


@dataclass(frozen=True)
class Gate:
    """A figure, and the limit that it should keep.

    Args:
        name: what is measured, such as ``"label agreement"``.
        subject: of what, such as the name of a form.
        figure: what was measured; ``None`` where nothing could be.
        limit: what is asked for.
        least: whether that is the least that is allowed, not the most.
        note: more, in words.
        details: the same and more as plain data.

    Example:
        >>> gate = Gate("label agreement", "small.onnx", 0.996, 0.999, note="1 row differs")
        >>> gate.ok, gate.text
        (False, 'label agreement of small.onnx: 0.996, at least 0.999 is asked for (1 row differs): missed')
    """

    name: str
    subject: str
    figure: float | None
    limit: float
    least: bool = True
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the figure keeps the limit; what could not be measured keeps none."""
        if self.figure is None or math.isnan(self.figure):
            return False
        return self.figure >= self.limit if self.least else self.figure <= self.limit

    @property
    def text(self) -> str:
        """Figure and limit in a line."""
        figure = "not measured" if self.figure is None else f"{self.figure:.6g}"
        which = "least" if self.least else "most"
        note = f" ({self.note})" if self.note else ""
        missed = "" if self.ok else ": missed"
        return (
            f"{self.name} of {self.subject}: {figure}, at {which} {self.limit:.6g} is asked for{note}{missed}"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data; an infinite figure is ``null``."""
        finite = self.figure is not None and math.isfinite(self.figure)
        return {
            "gate": self.name,
            "of": self.subject,
            "figure": self.figure if finite else None,
            "limit": self.limit,
            "limit_is": "least" if self.least else "most",
            "ok": self.ok,
            "note": self.note,
            **self.details,
        }


def missed(gates: Sequence[Gate]) -> list[Gate]:
    """Those that do not keep their limit."""
    return [gate for gate in gates if not gate.ok]


def check_limit(name: str, value: float | None, least: float = 0.0, most: float = math.inf) -> None:
    """Refuse a limit that is none.

    Raises:
        InputError: it is not a number of the range.

    Example:
        >>> check_limit("min_agreement", 0.999, 0, 1)
    """
    if value is None or (math.isfinite(value) and least <= value <= most):
        return
    between = f"of {least:g} or more" if math.isinf(most) else f"from {least:g} to {most:g}"
    raise InputError(Argument(name, value), f": should be a number {between}")
