"""Whether two frameworks wrote the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biport.decoding.hypothesis import Hypothesis
from biport.errors import InputError

TIE = 1e-4
"""The difference of two scores, in natural logarithms, below which a choice between them is a tie: some
hundred times what float32 leaves uncertain of a sum of a few dozen of them."""


@dataclass(frozen=True)
class Agreement:
    """How the rows of two results compare.

    Args:
        rows: how many there are.
        ties: those that differ where a choice hung on less than the tolerance.
        different: those that differ otherwise.
    """

    rows: int
    ties: tuple[int, ...]
    different: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether no row differs but by a tie."""
        return not self.different

    def __str__(self) -> str:
        equal = self.rows - len(self.ties) - len(self.different)
        parts = [f"{equal:,} of {self.rows:,} rows equal"]
        if self.ties:
            parts.append(f"{len(self.ties)} differ by a tie (rows {', '.join(map(str, self.ties[:5]))})")
        if self.different:
            parts.append(f"{len(self.different)} differ (rows {', '.join(map(str, self.different[:5]))})")
        return ", ".join(parts)


def agreement(one: Sequence[Hypothesis], two: Sequence[Hypothesis], tolerance: float = TIE) -> Agreement:
    """Compare what two searches wrote, row by row: the best of each, token by token.

    Raises:
        InputError: they have different numbers of rows.

    Example:
        >>> one = [Hypothesis((4, 5), -1.0, True, margin=0.5), Hypothesis((4,), -1.0, True, margin=1e-6)]
        >>> two = [Hypothesis((4, 5), -1.0, True, margin=0.5), Hypothesis((5,), -1.0, True, margin=1e-6)]
        >>> print(agreement(one, two))
        1 of 2 rows equal, 1 differ by a tie (rows 1)
    """
    if len(one) != len(two):
        raise InputError(f"{len(one)} and {len(two)} rows cannot be compared")
    differing = [
        row
        for row, (a, b) in enumerate(zip(one, two, strict=True))
        if (a.tokens, a.finished) != (b.tokens, b.finished)
    ]
    ties = [row for row in differing if min(one[row].margin, two[row].margin) <= tolerance]
    return Agreement(len(one), tuple(ties), tuple(row for row in differing if row not in ties))
