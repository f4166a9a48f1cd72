"""What a search gives for a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that a decoder wrote.

    Args:
        tokens: the ids, without those of the start and the end.
        score: the natural logarithm of its probability; of a beam divided by the length penalty.
        finished: whether the end token came; otherwise it was cut at the greatest length.
        margin: the least difference in score on which a choice hung, as large as infinity where there was
            none. A difference below what float32 rounds away is a tie, which another framework may break
            the other way.
        truncated: whether the source was too long and lost its end.
        others: of a beam the next best, best first.
    """

    tokens: tuple[int, ...]
    score: float
    finished: bool
    margin: float
    truncated: bool = False
    others: tuple[Hypothesis, ...] = ()


NOTHING = Hypothesis((), 0.0, finished=True, margin=float("inf"))
"""What is made of an empty source; no model is asked."""
