"""Beam search: the likeliest few sequences, step by step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from biport.decoding.hypothesis import Hypothesis
from biport.decoding.sources import Search, Sources, decode
from biport.decoding.stepper import Stepper
from biport.errors import Argument, InputError


def beam(
    stepper: Stepper,
    sources: Sources,
    *,
    start: int,
    end: int,
    width: int = 4,
    length_penalty: float = 0.6,
    best: int = 1,
    max_length: int = 100,
    never: tuple[int, ...] = (0,),
    batch_size: int = 64,
    max_source: int | None = None,
) -> list[Hypothesis]:
    """Keep the ``width`` likeliest beginnings; of those that end, the best by score.

    The score of a sequence of n tokens, its end counted, is ``log p / ((5 + n) / 6) ** length_penalty``. An
    ending among the ``width`` best continuations finishes a hypothesis; the best ``width`` others go on. A
    row is done when nothing that goes on can reach the score of its ``best``-th finished hypothesis. Equal
    scores keep the order of the beginnings, then of the ids. With ``width=1`` and ``length_penalty=0`` it
    is `greedy`.

    Args:
        width: how many beginnings are kept.
        length_penalty: 0 for plain probability; above that longer sequences gain.
        best: how many hypotheses a row is to give, ``width`` at most: the first one and its ``others``.
        stepper, sources, start, end, max_length, never, batch_size, max_source: as for `greedy`.

    Returns:
        One a row, in order; where nothing has ended by the greatest length, the likeliest beginning.

    Raises:
        InputError: as for `greedy`.

    Example:
        >>> from biport.graph import Value
        >>> chain = np.full((6, 6), 0.04)  # of V = 6: a model that looks at the last token alone
        >>> chain[2, 4:], chain[4:, 3] = (0.5, 0.4), 0.8
        >>> inputs = (Value("token", ("N", 1), "int32"),)
        >>> advance = lambda arrays: [chain[arrays[0]]]
        >>> stepper = Stepper(lambda source: [], advance, Value("source", ("N", "S"), "int32"), inputs, 6)
        >>> (hypothesis,) = beam(stepper, [[7, 8]], start=2, end=3, width=3, best=2)
        >>> [one.tokens for one in (hypothesis, *hypothesis.others)]
        [(4,), (5,)]

    Source:
        The penalty: Wu et al. 2016, arXiv:1609.08144, section 7.
    """
    if not 1 <= best <= width or not 0 <= length_penalty < np.inf:
        raise InputError(
            Argument("width", width),
            f", best={best}, ",
            Argument("length_penalty", length_penalty),
            ": best should be from 1 to width, the penalty not negative",
        )
    search = Search(start, end, max_length, never, batch_size, max_source)

    def run(stepper: Stepper, source: np.ndarray, search: Search) -> list[Hypothesis]:
        return _Beam(stepper, source, search, width, length_penalty, best).run()

    return decode(stepper, sources, search, run)


@dataclass
class _RowState:
    """What is known of a row: what has ended, and what the choices hung on."""

    ended: list[Hypothesis] = field(default_factory=list)
    margin: float = np.inf


class _Beam:
    def __init__(
        self, stepper: Stepper, source: np.ndarray, search: Search, width: int, penalty: float, best: int
    ) -> None:
        self.search, self.width, self.penalty, self.best = search, width, penalty, best
        self.blocked = search.blocked(stepper.size)
        self.rows = [_RowState() for _ in source]
        self.active = np.arange(len(source))
        """The rows that go on: R of them."""
        self.reading = stepper.start(source)
        self.reading.keep(np.repeat(self.active, width))
        self.scores = np.full((len(source), width), -np.inf)
        """Of each beginning, its log p: ``(R, width)``."""
        self.scores[:, 0] = 0
        self.tokens: NDArray[np.integer] = np.full((len(source), width, 1), search.start)

    def run(self) -> list[Hypothesis]:
        for step in range(self.search.max_length + 1):
            likelihoods = self.reading.next(self.tokens[:, :, -1].reshape(-1)) + self.blocked
            totals = self.scores[:, :, None] + likelihoods.reshape(*self.scores.shape, -1)
            order, best = highest(totals.reshape(len(totals), -1), 2 * self.width + 1)
            beginnings, tokens = np.divmod(order, totals.shape[2])
            self._finish(best, beginnings, tokens == self.search.end)
            if step == self.search.max_length:
                self._cut()
                break
            self._extend(best, beginnings, tokens)
            self._retire()
            if not len(self.active):
                break
        return [self._result(row) for row in self.rows]

    def _finish(self, best: NDArray[np.float64], beginnings: NDArray, ends: NDArray[np.bool_]) -> None:
        """Take the endings among the best continuations."""
        length = self.tokens.shape[2]
        for position, number in zip(*np.nonzero(ends[:, : self.width]), strict=True):
            if np.isfinite(best[position, number]):
                tokens = self.tokens[position, beginnings[position, number], 1:]
                score = float(best[position, number]) / self._divisor(length)
                self._row(position).ended.append(Hypothesis(tuple(map(int, tokens)), score, True, np.inf))
        for position, gap in enumerate(_gap(best, self.width)):
            self._row(position).margin = min(self._row(position).margin, gap)

    def _extend(self, best: NDArray[np.float64], beginnings: NDArray, tokens: NDArray) -> None:
        """Go on with the best continuations that do not end."""
        # Those first, in their order.
        going = np.argsort(tokens == self.search.end, axis=1, kind="stable")
        best, beginnings, tokens = (
            np.take_along_axis(array, going, axis=1) for array in (best, beginnings, tokens)
        )
        for position, gap in enumerate(_gap(best[:, : self.width + 1], self.width)):
            self._row(position).margin = min(self._row(position).margin, gap)
        kept = beginnings[:, : self.width]
        self.scores = best[:, : self.width]
        old = np.take_along_axis(self.tokens, kept[:, :, None], axis=1)
        self.tokens = np.concatenate([old, tokens[:, : self.width, None]], axis=2)
        self.reading.keep((kept + self.width * np.arange(len(kept))[:, None]).reshape(-1))

    def _retire(self) -> None:
        """Leave out the rows that cannot get any better."""
        # Scores are not above 0, so that the longest sequence is divided by most.
        reachable = self.scores.max(axis=1) / self._divisor(self.search.max_length + 1)
        going = []
        for position, bound in enumerate(reachable):
            row = self._row(position)
            row.ended.sort(key=lambda hypothesis: -hypothesis.score)
            worst = row.ended[self.best - 1].score if len(row.ended) >= self.best else -np.inf
            if bound > worst:
                going.append(position)
            elif np.isfinite(bound):
                row.margin = min(row.margin, row.ended[0].score - float(bound))
        if len(going) < len(self.active):
            self.active, self.scores, self.tokens = self.active[going], self.scores[going], self.tokens[going]
            positions = np.array(going, np.intp)[:, None] * self.width + np.arange(self.width)
            self.reading.keep(positions.reshape(-1))

    def _cut(self) -> None:
        """What has not ended by the greatest length comes after what has."""
        length = self.tokens.shape[2] - 1
        for position, (scores, tokens) in enumerate(zip(self.scores, self.tokens, strict=True)):
            row = self._row(position)
            row.ended.sort(key=lambda hypothesis: -hypothesis.score)
            row.ended += [
                Hypothesis(tuple(map(int, ids[1:])), float(score) / self._divisor(length), False, np.inf)
                for score, ids in zip(scores, tokens, strict=True)
                if np.isfinite(score)
            ]

    def _result(self, row: _RowState) -> Hypothesis:
        best = row.ended[: self.best]
        if not best:
            raise InputError("the decoder gives every token a probability of 0")
        second = row.ended[1] if len(row.ended) > 1 else None
        margin = row.margin
        if second is not None and second.finished == best[0].finished:
            margin = min(margin, best[0].score - second.score)
        return dataclasses.replace(best[0], margin=float(margin), others=tuple(best[1:]))

    def _row(self, position: int) -> _RowState:
        return self.rows[self.active[position]]

    def _divisor(self, length: int) -> float:
        return ((5 + length) / 6) ** self.penalty


def highest(scores: NDArray[np.float64], count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Positions and values of the ``count`` highest of each row, highest first, of equals the first."""
    count = min(count, scores.shape[1])
    # A whole sort would be slow for a large V; equals of the last one kept have to be looked at as well.
    least = -np.partition(-scores, count - 1, axis=1)[:, count - 1]
    order = np.empty((len(scores), count), np.intp)
    for position, row in enumerate(scores):
        candidates = np.flatnonzero(row >= least[position])
        order[position] = candidates[np.argsort(-row[candidates], kind="stable")][:count]
    return order, np.take_along_axis(scores, order, axis=1)


def _gap(best: NDArray[np.float64], width: int) -> list[float]:
    """The difference between the last one kept and the first one left out; infinity where there is none."""
    if best.shape[1] <= width:
        return [np.inf] * len(best)
    kept, left = best[:, width - 1], best[:, width]
    return [
        float(a - b) if np.isfinite(a) and np.isfinite(b) else np.inf for a, b in zip(kept, left, strict=True)
    ]
