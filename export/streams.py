"""A corpus through a model: batches of rows of like length, results in the order of the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.data.vocabulary import Vocabulary
from biport.data.whitespace import whitespace_tokens
from biport.errors import InputError
from biport.graph import Value
from export.batching import Row, batches, stack, windows

if TYPE_CHECKING:
    from export.session import Session

WINDOW, TOKENS = 1024, 2048
"""Rows sorted together, and steps in a batch: `benchmarks/corpus.py --search` on rows of 20 to 250 steps."""
MOST_STEPS = 64
"""Batches' worth of steps that a window holds at most, so that long rows do not fill the memory."""

Result = tuple[np.ndarray, ...]
"""What the model gives for one row, an array for each output, without the batch's axis."""


def predict(
    session: Session,
    rows: Iterable[Any],
    run: Callable[[np.ndarray], Sequence[np.ndarray]],
    *,
    window: int,
    tokens: int,
    workers: int,
    progress: Callable[[int], None] | None,
) -> Iterator[Result]:
    """See `export.Session.predict`; ``run`` gives the outputs of one batch."""
    prepare = _preparation(session)
    prepared = (prepare(place, row) for place, row in enumerate(rows, 1))
    waiting: list[_Window] = []
    with ThreadPoolExecutor(workers, "biport-predict") as pool:
        try:
            for found in windows(prepared, window, max(MOST_STEPS * tokens, window)):
                waiting.append(_Window(session, found, tokens, lambda a: pool.submit(run, a)))
                # One window is in the works while the results of the one before are taken.
                if len(waiting) > 1:
                    yield from waiting.pop(0).results(progress)
            for last in waiting:
                yield from last.results(progress)
        finally:
            pool.shutdown(cancel_futures=True)


class _Window:
    """Rows that are sorted together, and their batches on the way."""

    def __init__(
        self,
        session: Session,
        rows: Sequence[Row],
        tokens: int,
        submit: Callable[[np.ndarray], Future[Sequence[np.ndarray]]],
    ) -> None:
        self.session = session
        self.rows = rows
        (value,) = session.input_values
        self.works = [
            (places, submit(stack(value, [rows[place] for place in places])))
            for places in batches(rows, tokens)
        ]

    def results(self, progress: Callable[[int], None] | None) -> Iterator[Result]:
        found: list[Result] = [()] * len(self.rows)
        for places, work in self.works:
            outputs = work.result()
            for number, place in enumerate(places):
                found[place] = self._row(outputs, number, len(places), self.rows[place].length)
            if progress is not None:
                progress(len(places))
        yield from found

    def _row(self, outputs: Sequence[np.ndarray], number: int, count: int, length: int) -> Result:
        return tuple(
            _cut(output, number, count, self.session.time_axes.get(name, ()), length)
            for name, output in zip(self.session.output_names, outputs, strict=True)
        )


def _cut(output: np.ndarray, number: int, count: int, axes: Sequence[int], length: int) -> np.ndarray:
    """One row of a batch of ``count``, without the steps of its padding."""
    if not output.ndim or len(output) != count:
        raise InputError(f"an output of shape {output.shape} is not one of {count} rows")
    part = tuple(slice(0, length) if axis in axes else slice(None) for axis in range(1, output.ndim))
    # A copy: a view would keep the whole batch in memory for as long as anybody keeps the row.
    return output[(number, *part)].copy()


def _preparation(session: Session) -> Callable[[int, Any], Row]:
    """What makes a `Row` of what a caller gives, by what the model takes."""
    if len(session.input_values) != 1:
        names = ", ".join(value.name for value in session.input_values)
        raise InputError(f"predict runs models of one input, this one takes {names}; use run")
    (value,) = session.input_values
    if value.dtype == "str":
        return lambda place, row: _text(place, row)
    if len(value.shape) < 2:
        raise InputError(f"predict takes rows of sequences, this model's input is {value.tensor}; use run")

    def prepare(place: int, row: Any) -> Row:
        ids = _encoded(session.vocabulary, place, row) if isinstance(row, str) else row
        return _sequence(value, session.masked, place, ids)

    return prepare


def _text(place: int, row: Any) -> Row:
    if not isinstance(row, str):
        raise InputError(f"row {place}: the model takes texts, found {type(row).__name__}")
    return Row(row, max(1, len(whitespace_tokens(row))), pads=True)


def _encoded(vocabulary: Vocabulary | None, place: int, text: str) -> list[int]:
    if vocabulary is None:
        raise InputError(
            f"row {place}: is a text, and the file carries no vocabulary; export it with vocabulary=..., "
            "or give ids"
        )
    # As Vocabulary.encode_batch does: a text without tokens is one step of padding.
    return vocabulary.encode(text) or [0]


def _sequence(value: Value, masked: bool, place: int, row: Any) -> Row:
    array = np.asarray(row)
    if array.size == 0 and array.ndim == 1 and len(value.shape) == 2:
        array = array.astype(value.dtype)  # an empty list is one of floats to numpy
    if array.ndim != len(value.shape) - 1:
        raise InputError(f"row {place}: should be one row of {value.tensor}, found shape {array.shape}")
    fixed = value.shape[1]
    if isinstance(fixed, int) and (len(array) > fixed or (len(array) < fixed and not masked)):
        only = f"rows of {fixed} steps" + (" at most" if masked else "; it sees padding, so none is added")
        raise InputError(f"row {place}: the model takes {only}, found {len(array)}")
    return Row(array, len(array), masked and len(array) > 0 and bool(np.all(array)))


def default_workers(session: Session) -> int:
    """How many batches are in flight at once: one on CUDA, else one a core.

    On two busy cores that took a tenth less than one batch at a time on both.
    """
    return 1 if session.device == "cuda" else session.threads


def check_numbers(**numbers: int) -> None:
    """Refuse numbers below 1.

    Raises:
        InputError: one is.
    """
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} should be 1 or more, found {number}")


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))
