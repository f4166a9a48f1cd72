"""Numbers that somebody's own pipeline gave, beside those of a form: the same rows, in the same order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biport.compare.rows import DataRows
from biport.compare.tolerance import element_errors
from biport.errors import InputError


@dataclass(frozen=True)
class Expected:
    """The numbers of one output.

    Args:
        output: what it is called.
        rows: for each row of the data what is expected, without the batch's axis.
        owner: where it is from, for messages.
    """

    output: str
    rows: Sequence[np.ndarray]
    owner: str


@dataclass(frozen=True)
class Distance:
    """How far a form is from what is expected.

    Args:
        maximum: the largest error, infinite where NaN is in another position.
        row: that has it, counted from 0.
        hint: what the difference looks like, where it looks like something; else ``""``.
    """

    maximum: float
    row: int
    hint: str = ""


def check_expected(
    output: str, owner: str, given: np.ndarray, shape: Sequence[object], count: int
) -> Expected:
    """What is expected of an output ``(N, ...)`` of so many rows.

    Args:
        output: what it is called.
        owner: where the numbers are from, for messages.
        given: the numbers; of an output ``(N, 1)`` also ``(N,)``, and the other way round. Of one with steps
            there may be more than a row has: what is behind its end is left out.
        shape: the output's.
        count: N.

    Raises:
        InputError: it is of another shape, holds no numbers, or NaN.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{owner}: expected numbers of the output {output!r}, found {array.dtype}")
    if array.ndim and len(array) != count:
        raise InputError(
            f"{owner}: expected {count} rows of the output {output!r}, as the data have, found {len(array)}"
        )
    wanted = (count, *shape[1:])
    if array.size == count and all(dim == 1 for dim in (*array.shape[1:], *wanted[1:])):
        array = array.reshape(count, *(1,) * (len(wanted) - 1))
    fits = array.ndim == len(wanted) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        sizes = ", ".join(map(str, wanted))
        raise InputError(
            f"{owner}: expected numbers of shape ({sizes}) of the output {output!r}, found {array.shape}"
        )
    array = array.astype("float64")
    nan = np.argwhere(np.isnan(array.reshape(count, -1)).any(1))
    if nan.size:
        raise InputError(
            f"{owner}: row {int(nan[0, 0]) + 1} of {output!r} is NaN, with which nothing can be compared"
        )
    return Expected(output, [*array], owner)


def distance(
    expected: Expected,
    given: Mapping[str, np.ndarray],
    rows: DataRows,
    valid: Mapping[str, np.ndarray] | None,
    absolute: bool,
    limit: float,
) -> Distance:
    """How far one output of a form is from what is expected of it.

    Args:
        expected: of that output.
        given: what the form gave, by case.
        rows: which rows the cases are.
        valid: by case which steps are no padding, where the output has such; only these are compared.
        absolute: do not divide by the largest number that is expected.
        limit: above which a hint is looked for.

    Raises:
        InputError: a row has more steps than there are numbers for.
    """
    own = rows.in_order(given)
    steps = None if valid is None else rows.in_order(valid)
    pairs = [
        _pair(expected, row, one, None if steps is None else steps[row], rows) for row, one in enumerate(own)
    ]
    lengths = [one.size for one, _ in pairs]
    flat, wanted = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    errors = element_errors(flat, wanted, absolute)
    if not errors.size:
        return Distance(0.0, 0)
    worst = int(np.searchsorted(np.cumsum(lengths), int(errors.argmax()), side="right"))
    maximum = float(errors.max())
    hint = ""
    if maximum > limit and len({one.shape for one, _ in pairs}) == 1:
        hint = _hint(np.stack([one for one, _ in pairs]), np.stack([one for _, one in pairs]), limit)
    return Distance(maximum, worst, hint)


def _pair(
    expected: Expected, row: int, given: np.ndarray, valid: np.ndarray | None, rows: DataRows
) -> tuple[np.ndarray, np.ndarray]:
    """A row of the form, and the same of what is expected: the steps of both that count."""
    given, wanted = np.asarray(given, "float64"), expected.rows[row]
    if given.shape != wanted.shape:
        if wanted.ndim < 1 or len(wanted) < len(given) or wanted.shape[1:] != given.shape[1:]:
            raise InputError(
                f"{expected.owner}: {rows.text_of(row)}: expected numbers of shape {given.shape} of the "
                f"output {expected.output!r}, found {wanted.shape}"
            )
        wanted = wanted[: len(given)]
    if valid is None or given.shape[:1] != valid.shape:
        return given, wanted
    return given[valid], wanted[valid]


def _hint(given: np.ndarray, wanted: np.ndarray, limit: float) -> str:
    """What was mixed up: rows, columns, the other label's share, or shares and logits; else nothing."""

    def close(one: np.ndarray, other: np.ndarray) -> bool:
        return bool(np.abs(one - other).max(initial=0.0) <= limit)

    flat, numbers = given.reshape(len(given), -1), wanted.reshape(len(wanted), -1)
    if len(flat) > 1 and close(np.sort(flat, 0), np.sort(numbers, 0)):
        return "they are the same numbers with their rows in another order"
    size = numbers.shape[1]
    if 1 < size <= 1000:
        closest = [int(np.abs(flat - numbers[:, [column]]).max(0).argmin()) for column in range(size)]
        if sorted(closest) == [*range(size)] and close(flat[:, closest], numbers):
            return f"they are the same numbers with their columns in another order: {closest}"
    if size == 1 and close(flat, 1 - numbers):
        return "they are the shares of the other label, 1 - x"
    if close(flat, _shares(numbers)):
        return "they are logits, of which the model gives the shares"
    if close(_shares(flat), numbers):
        return "they are shares, and the model gives logits"
    return ""


def _shares(logits: np.ndarray) -> np.ndarray:
    if logits.shape[1] == 1:
        return 0.5 * (1 + np.tanh(0.5 * logits))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
