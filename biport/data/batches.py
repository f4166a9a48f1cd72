"""Batches in an order that a seed decides and two numbers resume: plain arrays, for any framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biport.data.padding import Side, check_layout, pad
from biport.errors import Argument, InputError

Column = NDArray | Sequence[Sequence[int]]
"""N rows: an array of shape (N, ...), taken as it is, or N sequences of ids, padded with 0 batch by batch."""


@dataclass(frozen=True)
class BatchPosition:
    """Where a pass over the data stands; ``vars(position)`` is plain data, ``Position(**data)`` the way back.

    Args:
        epoch: full passes behind it.
        row: rows of this pass behind it.
    """

    epoch: int = 0
    row: int = 0


BEGINNING = BatchPosition()


class Batches:
    """Rows of several columns, shuffled anew each epoch, a batch at a time.

    Iterating gives what is left of the current epoch and ends; iterating again gives the next epoch. The
    order of epoch e hangs on ``seed`` and e alone, so that a run that starts from a stored `position` meets
    the same batches as the one that went on::

        batches = Batches([tokens, labels], 32, seed=0, position=BatchPosition(**stored))
        while batches.position.epoch < epochs:
            for rows, truth in batches:
                ...
                store(vars(batches.position))  # of the batch to come

    Args:
        columns: each of N rows, the same ones in the same order: token ids and labels, say.
        batch_size: B, rows a batch; the last one of an epoch has what is left.
        seed: not negative.
        shuffle: whether the order changes at all.
        drop_last: whether a last batch of fewer rows is left out.
        max_length: the bound on T, for sequences of ids; ``None`` for none.
        padding: the end of a short row that the padding goes to.
        truncating: the end of a row above ``max_length`` that loses ids.
        position: where to start.

    Raises:
        InputError: for columns that are missing or differ in length, a number out of range, an unknown end,
            or a position where no batch starts.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        batch_size: int,
        seed: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        max_length: int | None = None,
        padding: Side = "right",
        truncating: Side = "right",
        position: BatchPosition = BEGINNING,
    ) -> None:
        check_layout(max_length, padding, truncating)
        sizes = [len(column) for column in columns]
        if not sizes or min(sizes) != max(sizes):
            raise InputError(f"columns of {sizes} rows: one or more are needed, all with the same rows.")
        if batch_size < 1 or seed < 0:
            raise InputError(
                Argument("batch_size", batch_size),
                ", ",
                Argument("seed", seed),
                ": at least 1, and not negative.",
            )
        self._columns, self._n = list(columns), sizes[0]
        self._batch_size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._max_length = max_length
        self._padding: Side = padding
        self._truncating: Side = truncating
        self._end = self._n - self._n % batch_size if drop_last else self._n
        # Any other row cannot have been left by these settings, and the batches to come would be others.
        if position.epoch < 0 or position.row not in {0, *range(0, self._end, batch_size)}:
            raise InputError(
                f"{position}: {self._n} rows in batches of {batch_size} have no batch that starts there."
            )
        self.position = position

    def __len__(self) -> int:
        """Batches in a full epoch."""
        return -(-self._end // self._batch_size)

    def __iter__(self) -> Iterator[tuple[NDArray, ...]]:
        """The batches left of this epoch, each a tuple of arrays of shape (B, ...) or, padded, (B, T)."""
        epoch, start = self.position.epoch, self.position.row
        order = self._order(epoch)
        if not self._end:
            self.position = BatchPosition(epoch + 1)
        for row in range(start, self._end, self._batch_size):
            chosen = order[row : row + self._batch_size]
            # Moved on before the batch is given out: once it is used, the state to store is the next one's.
            after = row + self._batch_size
            self.position = BatchPosition(epoch, after) if after < self._end else BatchPosition(epoch + 1)
            yield tuple(self._take(column, chosen) for column in self._columns)

    def _order(self, epoch: int) -> NDArray[np.intp]:
        if not self._shuffle:
            return np.arange(self._n)
        return np.random.default_rng((self._seed, epoch)).permutation(self._n)

    def _take(self, column: Column, chosen: NDArray[np.intp]) -> NDArray:
        if isinstance(column, np.ndarray):
            return column[chosen]
        rows = [column[number] for number in chosen]
        longest = max([1, *map(len, rows)])
        length = longest if self._max_length is None else min(longest, self._max_length)
        return pad(rows, length, self._padding, self._truncating)
