"""A corpus through a model: batches of rows of like length, results in the order of the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from biport.analysis.lengths import check_steps
from biport.errors import Argument, InputError, RowError
from biport.graph import Value
from biport.inputs import check_arrays
from biport.text.tokenizer import Tokenizer
from export.runtime.batching import InputRow, batches, stack, windows
from export.runtime.providers import warn_once
from export.runtime.signature import Signature
from export.text.refusals import check_characters

WINDOW, TOKENS = 1024, 2048
"""Rows sorted together, and steps in a batch: `benchmarks/corpus.py --search` on rows of 20 to 250 steps."""
MOST_STEPS = 64
"""Batches' worth of steps that a window holds at most, so that long rows do not fill the memory."""

Run: TypeAlias = Callable[[np.ndarray], Sequence[np.ndarray]]
"""The outputs for a batch."""

Outputs = tuple[np.ndarray, ...]
"""What the model gives for one row, an array for each output, without the batch's axis."""


@dataclass(frozen=True)
class RowResult:
    """What became of one row.

    Args:
        outputs: of the model; empty where there is an error.
        cut: how many steps the row lost for a model of fixed length.
        error: why the model did not take it.
    """

    outputs: Outputs = ()
    cut: int = 0
    error: RowError | None = None


def predict(
    signature: Signature,
    rows: Iterable[Any],
    run: Run,
    alone: Run,
    *,
    window: int,
    tokens: int,
    call: float,
    workers: int,
    truncate: bool,
    progress: Callable[[int], None] | None,
) -> Iterator[RowResult]:
    """See `export.Session.predict_each`; ``run`` gives the outputs of one batch at a cost of ``call``.

    What is one batch altogether needs no threads, which take longer to start than it takes to run a short
    row: it is given to ``alone``.
    """
    prepared = preparation(signature, truncate)(rows)
    groups = windows(prepared, window, max(MOST_STEPS * tokens, window))
    size = batch_size(signature)
    divided = ((rows, batches(rows, tokens, call, size)) for rows in groups)
    # One window is in the works while the results of the one before are taken.
    first = list(islice(divided, 2))
    if len(first) == 1 and len(first[0][1]) <= 1:
        yield from _Window(signature, *first[0], partial(_Done, alone)).results(progress)
        return
    waiting: list[_Window] = []
    with ThreadPoolExecutor(workers, "biport-predict") as pool:
        try:
            for group in chain(first, divided):
                waiting.append(_Window(signature, *group, partial(pool.submit, run)))
                if len(waiting) > 1:
                    yield from waiting.pop(0).results(progress)
            for last in waiting:
                yield from last.results(progress)
        finally:
            pool.shutdown(cancel_futures=True)


def preparation(signature: Signature, truncate: bool) -> Callable[[Iterable[Any]], Iterator[InputRow]]:
    """What makes rows of what a caller gives, by what the model takes; those that it does not take say why.

    Raises:
        InputError: the model takes several inputs, or no rows of sequences.
    """
    prepare = _preparation(signature, truncate)
    return lambda rows: (_tried(prepare, number, row) for number, row in enumerate(rows, 1))


class Prepared(NamedTuple):
    """A row as a model takes it, see `InputRow`."""

    content: Any
    length: int
    pads: bool
    cut: int = 0


def _tried(prepare: Callable[[Any], Prepared], number: int, given: Any) -> InputRow:
    """A row as the model takes it, or why it does not."""
    try:
        row = prepare(given)
    except InputError as error:
        return InputRow(number, None, 0, False, given=given, error=RowError(number, given, error))
    return InputRow(number, row.content, row.length, row.pads, row.cut, given)


class _Work(Protocol):
    """A batch on its way, as a `concurrent.futures.Future` is one."""

    def result(self) -> Sequence[np.ndarray]:
        """The outputs, or the error."""
        ...


@dataclass(frozen=True)
class _Done:
    """A batch that is run when its outputs are asked for."""

    run: Run
    array: np.ndarray

    def result(self) -> Sequence[np.ndarray]:
        return self.run(self.array)


class _Window:
    """Rows that are sorted together, and their batches on the way."""

    def __init__(
        self,
        signature: Signature,
        rows: Sequence[InputRow],
        divided: Sequence[Sequence[int]],
        submit: Callable[[np.ndarray], _Work],
    ) -> None:
        self.signature = signature
        self.rows = rows
        self.submit = submit
        self.works = [(indices, self._submitted(indices)) for indices in divided]

    def results(self, progress: Callable[[int], None] | None) -> Iterator[RowResult]:
        results = [RowResult(error=row.error) for row in self.rows]
        refused = sum(row.error is not None for row in self.rows)
        if refused and progress is not None:
            progress(refused)
        for indices, work in self.works:
            for index, result in self._of_batch(indices, work):
                results[index] = result
            if progress is not None:
                progress(len(indices))
        yield from results

    def _of_batch(self, indices: Sequence[int], work: _Work) -> Iterator[tuple[int, RowResult]]:
        """The results of a batch; of one that fails those of its rows, each by itself."""
        try:
            outputs = work.result()
        except InputError as error:
            if len(indices) == 1:
                (index,) = indices
                yield index, RowResult(error=self.rows[index].failed(error))
                return
            for index in indices:
                yield from self._of_batch([index], self._submitted([index]))
            return
        rows = [self.rows[index] for index in indices]
        for index, row, divided in zip(indices, rows, divide(self.signature, outputs, rows), strict=True):
            yield index, RowResult(divided, row.cut)

    def _submitted(self, indices: Sequence[int]) -> _Work:
        (value,) = self.signature.inputs
        return self.submit(stack(value, [self.rows[index] for index in indices]))


def batch_size(signature: Signature) -> int | None:
    """N, where the model takes that many rows and no others."""
    size = signature.inputs[0].shape[0]
    return size if isinstance(size, int) else None


def divide(
    signature: Signature, outputs: Sequence[np.ndarray], rows: Sequence[InputRow]
) -> Iterator[Outputs]:
    """The outputs of a batch, row by row, each without the steps of its padding.

    Raises:
        InputError: an output does not have a row for each row.
    """
    time_axes, row_axes = signature.time_axes or {}, signature.row_axes or [0] * len(outputs)
    count = batch_size(signature) or len(rows)
    for number, row in enumerate(rows):
        yield tuple(
            _cut(output, axis, number, count, time_axes.get(value.name, ()), row.length)
            for value, axis, output in zip(signature.outputs, row_axes, outputs, strict=True)
        )


def _cut(
    output: np.ndarray, rows: int, number: int, count: int, axes: Sequence[int], length: int
) -> np.ndarray:
    """One row of a batch of ``count``, on the axis ``rows``, without the steps of its padding."""
    if output.ndim <= rows or output.shape[rows] != count:
        raise InputError(f"an output of shape {output.shape} is not one of {count} rows")
    part = tuple(
        number if axis == rows else slice(0, length) if axis in axes else slice(None)
        for axis in range(output.ndim)
    )
    # A copy: a view would keep the whole batch in memory for as long as anybody keeps the row.
    return output[part].copy()


def check_row(signature: Signature, row: InputRow) -> None:
    """Refuse a row that would make its batch fail.

    Raises:
        RowError: an id out of bounds, a number that is not finite, or too few steps.
    """
    if row.error is not None:
        raise row.error
    try:
        arrays = check_arrays(signature.inputs, signature.bounds, [stack(signature.inputs[0], [row])])
        check_steps(signature.inputs, signature.needs_steps, arrays)
    except InputError as error:
        raise row.failed(error) from error


def _preparation(signature: Signature, truncate: bool) -> Callable[[Any], Prepared]:
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

    def prepare(row: Any) -> Prepared:
        masked = signature.time_axes is not None
        if not _is_text(row):
            return _sequence(value, masked, truncate, row)
        ids = _encoded(signature, row)
        if not truncate:
            return _sequence(value, masked, False, ids)
        fitting = _encoded(signature, row, truncate)
        return _sequence(value, masked, False, fitting)._replace(cut=len(ids) - len(fitting))

    return prepare


def _text_preparation(signature: Signature, value: Value) -> Callable[[Any], Prepared]:
    """The same of a file that makes ids of texts itself."""
    own = [one for one in signature.tokenizers.values() if one.source == value.name]
    characters = signature.characters.get(value.name)
    # Rows of other lengths go with it where the model does not see padding, or all are of one length.
    pads = not own or signature.time_axes is not None or all(one.length is not None for one in own)

    def prepare(row: Any) -> Prepared:
        if not isinstance(row, str):
            raise InputError(f"the model takes texts, found {type(row).__name__}")
        if signature.unsaid:
            warn_once(signature.unsaid)
        check_characters(value.name, characters, [row])
        counts = [len(one.encode(row)) for one in own]
        return Prepared(row, max(1, *counts), pads)

    return prepare


def _is_text(row: Any) -> bool:
    return isinstance(row, str) or (isinstance(row, list | tuple) and bool(row) and isinstance(row[0], str))


def _tokenizer(signature: Signature, truncate: bool) -> Tokenizer | None:
    """What makes ids of texts; it cuts them where they are to be as long as a model of fixed length takes."""
    (value,) = signature.inputs
    tokenizer, fixed = signature.tokenizers.get(value.name), value.shape[1]
    if tokenizer is None or tokenizer.length is not None or not truncate or not isinstance(fixed, int):
        return tokenizer
    return replace(tokenizer, max_length=min(fixed, tokenizer.max_length or fixed))


def _encoded(signature: Signature, text: Any, truncate: bool = False) -> Sequence[int]:
    """The ids of a text, or of tokens where the model takes those."""
    tokenizer = _tokenizer(signature, truncate)
    if tokenizer is None:
        raise InputError(
            "is a text, and the file carries no vocabulary; export it with its vocabulary, or give ids"
        )
    if signature.unsaid:
        warn_once(signature.unsaid)
    # As a batch has it whose longest text has one token.
    if isinstance(text, str) and tokenizer.split != "none":
        return tokenizer.encode(text) or [tokenizer.padding_id]
    return tokenizer.encode_batch([text])[0].tolist() or [tokenizer.padding_id]


def reads_texts(signature: Signature) -> bool:
    """Whether a model of one input is given texts."""
    if len(signature.inputs) != 1:
        return False
    (value,) = signature.inputs
    return value.dtype == "str" or value.name in signature.tokenizers


def steps(signature: Signature, text: str, truncate: bool) -> list[str | None]:
    """See `export.Session.steps`."""
    (value,) = signature.inputs
    if value.dtype == "str":
        own = [one for one in signature.tokenizers.values() if one.source == value.name]
        return (own[0].steps(text) if own else []) or [None]
    tokenizer = _tokenizer(signature, truncate)
    return [] if tokenizer is None else tokenizer.steps(text) or [None]


def _sequence(value: Value, masked: bool, truncate: bool, row: Any) -> Prepared:
    array = np.asarray(row)
    if array.size == 0 and array.ndim == 1 and len(value.shape) == 2:
        array = array.astype(value.dtype)  # an empty list is one of floats to numpy
    if array.ndim != len(value.shape) - 1:
        raise InputError(f"should be one row of {value.tensor}, found shape {array.shape}")
    fixed, steps = value.shape[1], len(array)
    padded = masked or truncate
    sizes = [*zip(array.shape, value.shape[1:], strict=True)][1 if padded else 0 :]
    if array.ndim > 2 and any(isinstance(wanted, int) and wanted != size for size, wanted in sizes):
        # Of an image no side is a length that could be padded or cut.
        raise InputError(f"should be one row of {value.tensor}, found shape {array.shape}")
    if isinstance(fixed, int):
        array = array[:fixed] if truncate else array
        _check_length(fixed, masked, len(array))
    pads = masked and len(array) > 0 and bool(np.all(array))
    return Prepared(array, len(array), pads, steps - len(array))


def _check_length(fixed: int, masked: bool, steps: int) -> None:
    """Refuse rows that a model of ``fixed`` steps does not take."""
    if steps == fixed or (steps < fixed and masked):
        return
    only = f"rows of {fixed} steps" + (" at most" if masked else "; it sees padding, so none is added")
    if steps < fixed:
        raise InputError(
            f"the model takes {only}, found {steps}; of texts ",
            Argument("padding", "..."),
            " says where they were padded when it was trained",
        )
    raise InputError(
        f"the model takes {only}, found {steps}; ", Argument("truncate", True), " cuts longer rows"
    )


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
