"""Rows of unequal length as batches: what goes together, and how a batch is laid out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from biport.errors import InputError, RowError
from biport.graph import Value

STEP = 64
"""Numbers of a picture that count as a step."""


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

    @property
    def steps(self) -> int:
        """How many steps of a sequence the row takes as much room as."""
        if np.ndim(self.content) < 3:
            return max(self.length, 1)
        return max(1, self.content.size // STEP)

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
        total += row.steps
        if total >= tokens:
            return


def call_cost(device: str) -> float:
    """What running a batch costs besides its rows, as so many steps of one row.

    On a CPU a call takes as long as 5 to 40 steps of a row, for large models and small ones, and a step of
    many rows little less than as many steps of one (`benchmarks/service.py --steps`): rows much shorter than
    the longest are better off in a batch of their own. CUDA, where calls are dear and rows side by side are
    not, was not measured: batches are as large as they may be.
    """
    return math.inf if device == "cuda" else 32


def batches(rows: Sequence[InputRow], tokens: int, call: float, most: int | None = None) -> list[list[int]]:
    """The indices of the rows, divided so that a batch holds N · T ≤ ``tokens`` steps, or a single row.

    A picture counts as many steps as it has times `STEP` numbers.

    Rows that must not be padded share a batch with rows of their own size only; the longest come first. Rows
    with an error are in none. A batch ends where its padding is more steps than ``call``, what another one
    costs, see `call_cost`.

    Args:
        rows: the rows.
        tokens: the steps of a batch.
        call: what a batch costs besides.
        most: rows of a batch at most, in place of steps, where the model takes that many and no others.
    """
    whole = [index for index, row in enumerate(rows) if row.error is None]
    batched: list[list[int]] = []
    padding = 0
    for index in sorted(whole, key=lambda index: _rank(rows[index])):
        row, first = rows[index], rows[batched[-1][0]] if batched else None
        if first is not None:
            padding += first.length - row.length
        together = (
            first is not None
            and ((row.pads and first.pads) or _rank(row) == _rank(first))
            and (
                (len(batched[-1]) + 1) * first.steps <= tokens and padding <= call
                if most is None
                else len(batched[-1]) < most
            )
        )
        if together:
            batched[-1].append(index)
        else:
            batched.append([index])
            padding = 0
    return batched


def _rank(row: InputRow) -> tuple[bool, int, tuple[int, ...]]:
    return row.pads, -row.length, np.shape(row.content)[1:]


def stack(value: Value, rows: Sequence[InputRow]) -> np.ndarray:
    """The rows of one batch as the array the model takes, padded with 0 on the right.

    Where the model takes so many rows and no others, rows of 0 follow, or of empty texts.

    Raises:
        InputError: rows of features differ in size.
    """
    batch = value.shape[0]
    if isinstance(batch, int) and len(rows) < batch:
        few = dataclasses.replace(value, shape=(len(rows), *value.shape[1:]))
        return _filled_up(stack(few, rows), batch)
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


def _filled_up(rows: np.ndarray, batch: int) -> np.ndarray:
    """A batch of as many rows as the model takes."""
    whole = np.full((batch, *rows.shape[1:]), "" if rows.dtype == object else 0, rows.dtype)
    whole[: len(rows)] = rows
    return whole
