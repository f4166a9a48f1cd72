"""Sources in batches that no padding can change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biport.decoding.hypothesis import NOTHING, Hypothesis
from biport.decoding.stepper import Stepper
from biport.errors import Argument, InputError

Sources = Sequence[Sequence[int]] | np.ndarray
"""Rows of ids, or an array: ``(N, S)`` ids padded with 0, or ``(N, S, I)`` features."""


@dataclass(frozen=True)
class Search:
    """What a search needs to know of the tokens.

    Args:
        start: the token that a sequence begins with.
        end: the token that ends one.
        max_length: the most tokens of a sequence, its end not counted.
        never: tokens that are never chosen, beside the start: padding.
        batch_size: the most rows that are decoded at once.
        max_source: longer sources lose their end; ``None`` for no such bound.

    Raises:
        InputError: a number is out of range.
    """

    start: int
    end: int
    max_length: int
    never: tuple[int, ...]
    batch_size: int
    max_source: int | None

    def __post_init__(self) -> None:
        if min(self.start, self.end, *self.never, 0) < 0 or self.start == self.end:
            raise InputError(*self._said, ": two ids, not negative")
        if self.end in self.never:
            raise InputError(
                Argument("never", self.never), f": the end token, {self.end}, has to be chosen some time"
            )
        bound = 1 if self.max_source is None else self.max_source
        if min(self.max_length, self.batch_size, bound) < 1:
            raise InputError("max_length, batch_size and max_source should be 1 or more")

    @property
    def _said(self) -> Sequence[object]:
        """The tokens, for messages."""
        return Argument("start", self.start), ", ", Argument("end", self.end), f", never {self.never}"

    def blocked(self, size: int) -> NDArray[np.float64]:
        """``(V,)``: minus infinity at the tokens that are never chosen, 0 elsewhere.

        Raises:
            InputError: a token is not below V.
        """
        tokens = [self.start, *self.never]
        if max(*tokens, self.end) >= size:
            raise InputError(*self._said, f": V is {size}")
        blocked = np.zeros(size)
        blocked[tokens] = -np.inf
        return blocked


def decode(
    stepper: Stepper,
    sources: Sources,
    search: Search,
    run: Callable[[Stepper, np.ndarray, Search], list[Hypothesis]],
) -> list[Hypothesis]:
    """``run`` over the sources in batches; the results in the sources' order."""
    hypotheses = [NOTHING] * len(sources)
    fixed = stepper.source.shape[1]
    bound = min([size for size in (search.max_source, fixed) if isinstance(size, int)], default=None)
    for rows, batch in _batches(sources, bound, fixed, search.batch_size):
        for row, hypothesis in zip(rows, run(stepper, batch, search), strict=True):
            too_long = bound is not None and len(sources[row]) > bound
            hypotheses[row] = dataclasses.replace(hypothesis, truncated=too_long)
    return hypotheses


def _batches(
    sources: Sources, bound: int | None, fixed: object, batch_size: int
) -> Iterator[tuple[NDArray[np.intp], np.ndarray]]:
    if isinstance(sources, np.ndarray):
        full = _with_tokens(sources)
        for begin in range(0, len(full), batch_size):
            chosen = full[begin : begin + batch_size]
            yield chosen, sources[chosen, :bound]
        return
    rows = [np.asarray(row, np.int32).reshape(-1)[:bound] for row in sources]
    # Rows of one length at a time: what a model makes of padding, masked or not, never matters.
    lengths = np.array([len(row) for row in rows], np.intp)
    for length in np.unique(lengths[lengths > 0]):
        equal = np.flatnonzero(lengths == length)
        for begin in range(0, len(equal), batch_size):
            chosen = equal[begin : begin + batch_size]
            batch = np.stack([rows[row] for row in chosen])
            if isinstance(fixed, int):
                batch = np.pad(batch, ((0, 0), (0, fixed - length)))
            yield chosen, batch


def _with_tokens(sources: np.ndarray) -> NDArray[np.intp]:
    """The rows that are not empty: of ids those with another one than padding."""
    if sources.ndim < 2:
        raise InputError(f"sources should be rows of ids, found an array of shape {sources.shape}")
    if sources.ndim == 2:
        return np.flatnonzero((sources != 0).any(axis=1))
    return np.arange(len(sources) if sources.shape[1] else 0)
