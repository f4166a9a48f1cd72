"""A corpus through a model: batches of rows of like length, results in the order of the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from biport.data.whitespace import whitespace_tokens
from biport.errors import InputError
from biport.graph import Value
from export.runtime.batching import InputRow, batches, stack, windows
from export.runtime.signature import Signature

WINDOW, TOKENS = 1024, 2048
"""Rows sorted together, and steps in a batch: `benchmarks/corpus.py --search` on rows of 20 to 250 steps."""
MOST_STEPS = 64
"""Batches' worth of steps that a window holds at most, so that long rows do not fill the memory."""

Result = tuple[np.ndarray, ...]
"""What the model gives for one row, an array for each output, without the batch's axis."""


def predict(
    signature: Signature,
    rows: Iterable[Any],
    run: Callable[[np.ndarray], Sequence[np.ndarray]],
    *,
    window: int,
    tokens: int,
    workers: int,
    progress: Callable[[int], None] | None,
) -> Iterator[Result]:
    """See `export.Session.predict`; ``run`` gives the outputs of one batch."""
    prepare = _preparation(signature)
    prepared = (prepare(number, row) for number, row in enumerate(rows, 1))
    waiting: list[_Window] = []
    with ThreadPoolExecutor(workers, "biport-predict") as pool:
        try:
            for window_rows in windows(prepared, window, max(MOST_STEPS * tokens, window)):
                waiting.append(_Window(signature, window_rows, tokens, lambda a: pool.submit(run, a)))
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
        signature: Signature,
        rows: Sequence[InputRow],
        tokens: int,
        submit: Callable[[np.ndarray], Future[Sequence[np.ndarray]]],
    ) -> None:
        self.signature = signature
        self.rows = rows
        (value,) = signature.inputs
        self.batch = value.shape[0] if isinstance(value.shape[0], int) else None
        self.works = [
            (indices, submit(stack(value, [rows[index] for index in indices])))
            for indices in batches(rows, tokens, self.batch)
        ]

    def results(self, progress: Callable[[int], None] | None) -> Iterator[Result]:
        results: list[Result] = [()] * len(self.rows)
        for indices, work in self.works:
            outputs = work.result()
            for number, index in enumerate(indices):
                count = len(indices) if self.batch is None else self.batch
                results[index] = self._row(outputs, number, count, self.rows[index].length)
            if progress is not None:
                progress(len(indices))
        yield from results

    def _row(self, outputs: Sequence[np.ndarray], number: int, count: int, length: int) -> Result:
        time_axes = self.signature.time_axes or {}
        return tuple(
            _cut(output, number, count, time_axes.get(value.name, ()), length)
            for value, output in zip(self.signature.outputs, outputs, strict=True)
        )


def _cut(output: np.ndarray, number: int, count: int, axes: Sequence[int], length: int) -> np.ndarray:
    """One row of a batch of ``count``, without the steps of its padding."""
    if not output.ndim or len(output) != count:
        raise InputError(f"an output of shape {output.shape} is not one of {count} rows")
    part = tuple(slice(0, length) if axis in axes else slice(None) for axis in range(1, output.ndim))
    # A copy: a view would keep the whole batch in memory for as long as anybody keeps the row.
    return output[(number, *part)].copy()


def _preparation(signature: Signature) -> Callable[[int, Any], InputRow]:
    """What makes an `InputRow` of what a caller gives, by what the model takes."""
    if len(signature.inputs) != 1:
        names = ", ".join(value.name for value in signature.inputs)
        raise InputError(f"predict runs models of one input, this one takes {names}; use run")
    (value,) = signature.inputs
    if value.dtype == "str" and len(value.shape) > 1:
        raise InputError(f"predict takes texts, this model's input is {value.tensor}; use run")
    if value.dtype == "str":
        return _text_preparation(signature, value)
    if len(value.shape) < 2:
        raise InputError(f"predict takes rows of sequences, this model's input is {value.tensor}; use run")

    def prepare(number: int, row: Any) -> InputRow:
        ids = _encoded(signature, number, row) if _is_text(row) else row
        return _sequence(value, signature.time_axes is not None, number, ids)

    return prepare


def _text_preparation(signature: Signature, value: Value) -> Callable[[int, Any], InputRow]:
    """The same of a file that makes ids of texts itself."""
    own = [one for one in signature.tokenizers.values() if one.source == value.name]
    # Rows of other lengths go with it where the model does not see padding, or all are of one length.
    pads = not own or signature.time_axes is not None or all(one.length is not None for one in own)

    def prepare(number: int, row: Any) -> InputRow:
        if not isinstance(row, str):
            raise InputError(f"row {number}: the model takes texts, found {type(row).__name__}")
        counts = [len(one.encode(row)) for one in own] or [len(whitespace_tokens(row))]
        return InputRow(row, max(1, *counts), pads)

    return prepare


def _is_text(row: Any) -> bool:
    return isinstance(row, str) or (isinstance(row, list | tuple) and bool(row) and isinstance(row[0], str))


def _encoded(signature: Signature, number: int, text: Any) -> Sequence[int]:
    """The ids of a text, or of tokens where the model takes those."""
    tokenizer = signature.tokenizers.get(signature.inputs[0].name)
    if tokenizer is not None:
        # As a batch has it whose longest text has one token.
        return tokenizer.encode_batch([text])[0].tolist() or [tokenizer.padding_id]
    vocabulary = signature.vocabulary
    if vocabulary is None or not isinstance(text, str):
        raise InputError(
            f"row {number}: is a text, and the file carries no vocabulary; export it with its vocabulary, "
            "or give ids"
        )
    # As Vocabulary.encode_batch does: a text without tokens is one step of padding.
    return vocabulary.encode(text) or [0]


def _sequence(value: Value, masked: bool, number: int, row: Any) -> InputRow:
    array = np.asarray(row)
    if array.size == 0 and array.ndim == 1 and len(value.shape) == 2:
        array = array.astype(value.dtype)  # an empty list is one of floats to numpy
    if array.ndim != len(value.shape) - 1:
        raise InputError(f"row {number}: should be one row of {value.tensor}, found shape {array.shape}")
    fixed = value.shape[1]
    if isinstance(fixed, int) and (len(array) > fixed or (len(array) < fixed and not masked)):
        only = f"rows of {fixed} steps" + (" at most" if masked else "; it sees padding, so none is added")
        raise InputError(f"row {number}: the model takes {only}, found {len(array)}")
    return InputRow(array, len(array), masked and len(array) > 0 and bool(np.all(array)))


def default_workers(device: str, threads: int) -> int:
    """How many batches are in flight at once: one on CUDA, else one a core.

    On two busy cores that took a tenth less than one batch at a time on both.
    """
    return 1 if device == "cuda" else threads


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
