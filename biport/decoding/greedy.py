"""Greedy search: at each step the likeliest token."""

from __future__ import annotations

import numpy as np

from biport.decoding.hypothesis import Hypothesis
from biport.decoding.sources import Search, Sources, decode
from biport.decoding.stepper import Stepper


def greedy(
    stepper: Stepper,
    sources: Sources,
    *,
    start: int,
    end: int,
    max_length: int = 100,
    never: tuple[int, ...] = (0,),
    batch_size: int = 256,
    max_source: int | None = None,
) -> list[Hypothesis]:
    """The likeliest next token, again and again until the end token; of equals the one with the least id.

    A row that has ended takes no further part. An empty source, one without tokens or with padding alone,
    gives `hypothesis.NOTHING`.

    Args:
        stepper: the model.
        sources: N rows.
        start: the token that a target begins with.
        end: the token that ends one.
        max_length: the most tokens of a target, its end not counted.
        never: tokens that are never chosen, beside the start: padding.
        batch_size: the most rows that are decoded at once.
        max_source: longer sources lose their end, and the result says so; ``None`` for no such bound beside
            the model's own.

    Returns:
        One a row, in order.

    Raises:
        InputError: a token is not one of the model's, a number is out of range, or the sources do not suit
            the model.

    Example:
        >>> from biport.graph import Value
        >>> chain = np.full((6, 6), 0.04)  # of V = 6: a model that looks at the last token alone
        >>> chain[2, 4] = chain[4, 5] = chain[5, 3] = 0.8
        >>> inputs = (Value("token", ("N", 1), "int32"),)
        >>> advance = lambda arrays: [chain[arrays[0]]]
        >>> stepper = Stepper(lambda source: [], advance, Value("source", ("N", "S"), "int32"), inputs, 6)
        >>> (best,) = greedy(stepper, [[7, 8]], start=2, end=3)
        >>> best.tokens, round(best.score, 3), best.finished
        ((4, 5), -0.669, True)
    """
    search = Search(start, end, max_length, never, batch_size, max_source)
    return decode(stepper, sources, search, _greedy)


def _greedy(stepper: Stepper, source: np.ndarray, search: Search) -> list[Hypothesis]:
    count = len(source)
    blocked = search.blocked(stepper.size)
    written: list[list[int]] = [[] for _ in range(count)]
    scores, margins = np.zeros(count), np.full(count, np.inf)
    finished = np.zeros(count, bool)
    reading, active = stepper.start(source), np.arange(count)
    last = np.full(count, search.start)
    # One step more than there are tokens, for the end.
    for step in range(search.max_length + 1):
        likelihoods = reading.next(last) + blocked
        last = likelihoods.argmax(axis=1)
        best, second = _two_best(likelihoods)
        ended = last == search.end
        taken = ended | (step < search.max_length)
        scores[active[taken]] += best[taken]
        margins[active] = np.minimum(margins[active], best - second)
        finished[active] = ended
        going = np.flatnonzero(~ended)
        if step == search.max_length or not len(going):
            break
        if len(going) < len(active):
            reading.keep(going)
            active, last = active[going], last[going]
        for row, token in zip(active, last, strict=True):
            written[row].append(int(token))
    return [
        Hypothesis(tuple(tokens), float(score), bool(end), float(margin))
        for tokens, score, end, margin in zip(written, scores, finished, margins, strict=True)
    ]


def _two_best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest and the second highest of each row; the second is minus infinity if there is none."""
    if scores.shape[1] < 2:
        return scores[:, 0], np.full(len(scores), -np.inf)
    ordered = np.partition(scores, -2, axis=1)
    return ordered[:, -1], ordered[:, -2]
