"""How many sequences a model writes exactly as they should be, without being told the steps before."""

from __future__ import annotations

from collections.abc import Sequence

from biport.data.vocabulary import END_ID, PAD_ID, START_ID, UNK_ID
from biport.decoding import Stepper, greedy

EXACT_ROWS = 1000
"""So many rows are written at most, which takes far longer than a pass over them."""


def exact_matches(
    stepper: Stepper,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    max_source: int | None = None,
) -> tuple[int, int]:
    """How many of the targets greedy search writes whole, and of how many.

    Args:
        stepper: the model.
        sources: ids a row.
        targets: ids a row, ``<start>`` in front and ``<end>`` behind.
        max_source: tokens of a source at most, as in training; ``None`` for any.
    """
    rows, truth = sources[:EXACT_ROWS], [tuple(row[1:-1]) for row in targets[:EXACT_ROWS]]
    hypotheses = greedy(
        stepper,
        rows,
        start=START_ID,
        end=END_ID,
        max_length=max(map(len, truth), default=0) + 1,
        never=(PAD_ID, UNK_ID),
        max_source=max_source,
    )
    right = sum(one.finished and one.tokens == two for one, two in zip(hypotheses, truth, strict=True))
    return right, len(truth)
