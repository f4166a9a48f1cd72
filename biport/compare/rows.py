"""Which rows of somebody's data the rows of each case are, so that what is said of one names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biport.errors import shortened


@dataclass(frozen=True)
class DataRows:
    """The rows of data, in the order they came in.

    Args:
        cases: for each case the rows that are its batch, counted from 0.
        numbers: what the data call each row.
        texts: of each; ``None`` where it is arrays.
        labels: the class of each; ``None`` where nobody says.
        names: what the classes are called.
        valid: by case which steps are no padding, bool ``(N, T)``, as far as that is known.
        described: the data in words; ``""`` of arrays that were given.
    """

    cases: Mapping[str, np.ndarray]
    numbers: Sequence[int]
    texts: Sequence[str] | None = None
    labels: np.ndarray | None = None
    names: Sequence[str] | None = None
    valid: Mapping[str, np.ndarray] | None = None
    described: str = ""

    def __len__(self) -> int:
        return len(self.numbers)

    def text_of(self, row: int) -> str:
        """A row by its number and the beginning of its text.

        Example:
            >>> DataRows({}, [7], ["not bad"]).text_of(0)
            "row 7 'not bad'"
        """
        text = "" if self.texts is None else f" {shortened(self.texts[row])}"
        return f"row {self.numbers[row]}{text}"

    def in_order(self, outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """One output of every case as an array a row, without the batch's axis, in the order of the data.

        Args:
            outputs: by case, ``(N, ...)``.
        """
        ordered: list[np.ndarray] = [np.empty(0)] * len(self)
        for case, array in outputs.items():
            for row, part in zip(self.cases[case], array, strict=True):
                ordered[row] = part
        return ordered
