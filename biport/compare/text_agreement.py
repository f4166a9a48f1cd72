"""Whether forms of a CTC model read the same texts, and in which rows they do not.

A text is what the likeliest class of each step spells. Rounding may turn a step over where two classes are as
good as equal: a text that differs in such steps alone is a **tie**, as of `biport.compare.agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biport.compare.agreement import KEPT, Agreement, Differing, differing_row
from biport.compare.rows import DataRows
from biport.compare.tolerance import margins
from biport.decoding.ctc import transcribe
from biport.errors import InputError
from biport.text.alphabet import Alphabet

NO_TEXT = "no text"
"""Of numbers that are none of the kind that the model gives, such as NaN."""


def text_agreement(
    form: str,
    output: str,
    alphabet: Alphabet,
    given: Mapping[str, np.ndarray] | None,
    exact: Mapping[str, np.ndarray],
    allowed: float,
    *,
    rows: DataRows | None = None,
) -> Agreement:
    """The texts of one output, compared over all cases.

    Args:
        form: whose it is.
        output: what it is called.
        alphabet: what its classes are called.
        given: what the form gave, ``(N, T, C)`` by case; ``None`` where it does not run, or gives others.
        exact: what the oracle gave.
        allowed: what rounding may do in float32, as of `biport.compare.agreement.agreement`.
        rows: what the rows are, where they are somebody's data.

    Example:
        >>> alphabet = Alphabet(("a", "b"), blank=2)
        >>> exact = {"input": np.array([[[0.7, 0.2, 0.1]], [[0.4999999, 0.5000001, 0.0]]])}
        >>> given = {"input": np.array([[[0.1, 0.2, 0.7]], [[0.5000001, 0.4999999, 0.0]]])}
        >>> result = text_agreement("small", "y", alphabet, given, exact, 1e-6)
        >>> result.count, result.differing, result.ties
        (2, 1, 1)
        >>> print(result.rows[0].text)
        input [0]: 'a' (0.7000) became '' (0.7000)
    """
    if given is None or any(given[case].shape != array.shape for case, array in exact.items()):
        return Agreement(form, output, "text", None)
    count, seen = 0, set()
    differing: list[Differing] = []
    for case, array in exact.items():
        wanted, own = _texts(alphabet, array), _texts(alphabet, given[case])
        ties = _ties(given[case], array, allowed)
        count += len(array)
        seen |= {text for text, _ in wanted}
        differing += [
            differing_row(case, (row,), pair, bool(ties[row]), rows, False)
            for row, pair in enumerate(zip(wanted, own, strict=True))
            if pair[0][0] != pair[1][0]
        ]
    differing.sort(key=lambda one: (one.tie, one.data.get("row", 0)))
    ties = sum(one.tie for one in differing)
    return Agreement(form, output, "text", count, len(differing) - ties, ties, len(seen), differing[:KEPT])


def _texts(alphabet: Alphabet, scores: np.ndarray) -> list[tuple[str, float]]:
    """The text of each row, in quotes, and how likely it is."""
    try:
        return [(repr(one.text), one.confidence) for one in transcribe(alphabet, scores)]
    except InputError:
        if len(scores) > 1:
            return [one for row in scores for one in _texts(alphabet, row[None])]
        return [(NO_TEXT, float("nan"))]


def _ties(given: np.ndarray, exact: np.ndarray, allowed: float) -> np.ndarray:
    """Which rows differ only in steps whose two largest numbers are as good as equal, bool ``(N,)``."""
    finite = np.abs(exact[np.isfinite(exact)])
    margin = 2 * allowed * max(1.0, float(finite.max(initial=0.0)))
    if not exact.size or exact.shape[-1] < 2:
        return np.ones(len(exact), bool)
    differ = (given.argmax(-1) != exact.argmax(-1)) | np.isnan(given).any(-1)
    return ~(differ & ~(margins(exact) <= margin)).any(-1)
