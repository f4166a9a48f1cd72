"""Texts in batches: ids of the texts, and rows of like length together, so that no model sees padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biport.app.taken import Taken
from biport.data.text_rows import TextRow
from biport.errors import InputError, shortened
from biport.graph import Value
from biport.inputs import check_arrays
from biport.text.tokenizer import Tokenizer

STEPS, ROWS = 8192, 256
"""Of a batch at most: steps, N · T, but of a single row; and rows."""


@dataclass(frozen=True)
class TextBatches:
    """Texts in batches.

    Args:
        rows: for each batch which texts it holds, counted from 0.
        arrays: for each batch an array for each input of the model, in order.
        texts: for each batch the texts, ``(N,)``.
        valid: for each batch which steps are no padding, bool ``(N, T)``; ``None`` of a model of texts.
    """

    rows: list[np.ndarray]
    arrays: list[list[np.ndarray]]
    texts: list[np.ndarray]
    valid: list[np.ndarray] | None


def text_batches(rows: Sequence[TextRow], taken: Taken, source: str) -> TextBatches:
    """The texts as a model takes them, rows of like length together, the shortest first.

    Args:
        rows: of a file.
        taken: the model.
        source: the input that they are given for.

    Raises:
        InputError: naming the row: it has an unknown token where none may be, or a length that the model does
            not take.
    """
    encoders = {name: one for name, one in taken.tokenizers.items() if one.source == source}
    encoded = [_encoded(row, encoders) for row in rows]
    for row, ids in zip(rows, encoded, strict=True):
        _check_length(row, taken, encoders, ids)
    groups = _grouped([_Row(ids, _pads(taken, encoders, ids)) for ids in encoded])
    batches, texts, valid = [], [], []
    for group in groups:
        given = [rows[index].text for index in group]
        arrays = [_input(value, encoders.get(value.name), given) for value in taken.inputs]
        batches.append(check_arrays(taken.inputs, taken.bounds, arrays))
        texts.append(_text_array(given))
        valid += [] if (steps := _valid(taken, encoders, arrays)) is None else [steps]
    complete = valid if len(valid) == len(groups) else None
    return TextBatches([np.array(group) for group in groups], batches, texts, complete)


def _encoded(row: TextRow, encoders: Mapping[str, Tokenizer]) -> list[list[int]]:
    """The ids of a text, by each of the tokenisers."""
    try:
        return [encoder.encode(row.text) for encoder in encoders.values()]
    except InputError as error:
        raise InputError(f"{row.owner}: {error}") from error


def _check_length(
    row: TextRow, taken: Taken, encoders: Mapping[str, Tokenizer], encoded: Sequence[list[int]]
) -> None:
    """Refuse a row that a model of fixed length does not take."""
    shapes = {value.name: value.shape for value in taken.inputs}
    for name, ids in zip(encoders, encoded, strict=True):
        shape, length = shapes.get(name, ()), max(1, len(ids))
        fixed = shape[1] if len(shape) > 1 else None
        if isinstance(fixed, int) and (length > fixed or (length < fixed and not taken.masked)):
            only = f"rows of {fixed} steps"
            only += " at most" if taken.masked else "; it sees padding, so none is added"
            raise InputError(
                f"{row.where}: row {row.number}: the model takes {only}; {shortened(row.text)} has {length}"
            )


def _pads(taken: Taken, encoders: Mapping[str, Tokenizer], encoded: Sequence[list[int]]) -> bool:
    """Whether a row may be padded: the model does not see it, and the row has no padding of its own."""
    pairs = zip(encoders.values(), encoded, strict=True)
    return taken.masked and all(ids and one.padding_id not in ids for one, ids in pairs)


@dataclass(frozen=True)
class _Row:
    """The ids of a row, by each tokeniser, and whether more padding may stand behind them."""

    ids: Sequence[list[int]]
    pads: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many steps it has, 1 at least."""
        return tuple(max(1, len(ids)) for ids in self.ids)


def _grouped(rows: Sequence[_Row]) -> list[list[int]]:
    """The rows that are in a batch together; the shortest come first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(rows)), key=lambda index: (not rows[index].pads, rows[index].lengths)):
        row, last = rows[index], groups[-1] if groups else []
        together = (
            bool(last)
            and row.pads == rows[last[0]].pads
            and (row.pads or row.lengths == rows[last[0]].lengths)
            and len(last) < ROWS
            and (len(last) + 1) * max(row.lengths, default=1) <= STEPS
        )
        if together:
            last.append(index)
        else:
            groups.append([index])
    return groups


def _input(value: Value, encoder: Tokenizer | None, texts: Sequence[str]) -> np.ndarray:
    """An input of a batch."""
    if value.dtype == "str" or encoder is None:
        return _text_array(texts)
    ids = encoder.encode_batch(texts)
    if ids.ndim < 2:
        return ids
    fixed = value.shape[1] if len(value.shape) > 1 else None
    missing = max(fixed if isinstance(fixed, int) else 1, ids.shape[1]) - ids.shape[1]
    return np.pad(ids, ((0, 0), (0, missing)), constant_values=encoder.padding_id)


def _valid(
    taken: Taken, encoders: Mapping[str, Tokenizer], arrays: Sequence[np.ndarray]
) -> np.ndarray | None:
    """Which steps are no padding, by the ids of the first tokeniser; ``None`` where the ids are not seen."""
    for value, array in zip(taken.inputs, arrays, strict=True):
        if value.name in encoders and array.ndim == 2 and value.dtype != "str":
            return array != encoders[value.name].padding_id
    return None


def _text_array(texts: Sequence[str]) -> np.ndarray:
    # NumPy's own texts lose zeros at their end.
    array = np.empty(len(texts), object)
    array[:] = texts
    return array
