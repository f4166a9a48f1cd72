"""Rows of unequal length as batches: what goes together, and how a batch is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from biport.errors import InputError, RowError
from biport.graph import Value


@dataclass(frozen=True)
class InputRow:
    """One row of a corpus.

    Args:
        number: from 1.
        content: ids ``(T,)``, features ``(T, I)``, or a text.
        length: T.
        pads: whether the row may be padded: the model does not see it, and the row holds no 0 of its own.
        cut: how many steps it lost for a model of fixed length.
        given: what it was made of, for messages.
        error: why the model cannot take it.
    """

    number: int
    content: Any
    length: int
    pads: bool
    cut: int = 0
    given: Any = None
    error: RowError | None = None

    def failed(self, error: InputError) -> RowError:
        """What is told of an error of this row."""
        return RowError(self.number, self.given, error)


def windows(rows: Iterable[InputRow], size: int, tokens: int) -> Iterator[list[InputRow]]:
    """The rows in groups of ``size``, fewer where they hold more than ``tokens`` steps together."""
    waiting = iter(rows)
    while window := list(_window(islice(waiting, size), tokens)):
        yield window


def _window(rows: Iterator[InputRow], tokens: int) -> Iterator[InputRow]:
    total = 0
    for row in rows:
        yield row
        total += row.length
        if total >= tokens:
            return


def batches(rows: Sequence[InputRow], tokens: int) -> list[list[int]]:
    """The indices of the rows, divided so that a batch holds N · T ≤ ``tokens`` steps, or a single row.

    Rows that must not be padded share a batch with rows of their own size only; the longest come first. Rows
    with an error are in none.
    """
    whole = [index for index, row in enumerate(rows) if row.error is None]
    ranked = sorted(whole, key=lambda index: _rank(rows[index]))
    batched: list[list[int]] = []
    for index in ranked:
        row, first = rows[index], rows[batched[-1][0]] if batched else None
        together = (
            first is not None
            and ((row.pads and first.pads) or _rank(row) == _rank(first))
            and (len(batched[-1]) + 1) * max(first.length, 1) <= tokens
        )
        if together:
            batched[-1].append(index)
        else:
            batched.append([index])
    return batched


def _rank(row: InputRow) -> tuple[bool, int, tuple[int, ...]]:
    return row.pads, -row.length, np.shape(row.content)[1:]


def stack(value: Value, rows: Sequence[InputRow]) -> np.ndarray:
    """The rows of one batch as the array the model takes, padded with 0 on the right.

    Raises:
        InputError: rows of features differ in size.
    """
    if value.dtype == "str":
        return np.array([row.content for row in rows], object)
    if len(value.shape) > 2:
        shapes = {row.content.shape for row in rows}
        if len(shapes) > 1:
            raise InputError(f"input {value.name!r}: rows of {value.tensor} have shapes {sorted(shapes)}")
        return np.stack([row.content for row in rows])
    fixed = [size for size in value.shape[1:] if isinstance(size, int)]
    steps = fixed[0] if fixed else max(row.length for row in rows)
    padded = np.zeros((len(rows), steps), np.result_type(*(row.content.dtype for row in rows)))
    for line, row in zip(padded, rows, strict=True):
        line[: row.length] = row.content
    return padded
