"""Of a product of settings: which cases cover every setting, or every pair of them."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any


def covering(cases: Sequence[Mapping[Any, Hashable]], strength: int) -> list[int]:
    """The indices of cases that together have every combination of ``strength`` settings there is.

    Greedy and deterministic: in turn the case with the most combinations that none before it has; of several
    the one that shares the fewest settings with the case before, so that a sample goes through a table.
    """
    combinations = [
        {frozenset(some) for some in itertools.combinations(case.items(), min(strength, len(case)))}
        for case in cases
    ]
    missing = set().union(*combinations)
    chosen: list[int] = []
    while missing:
        best = max(
            range(len(cases)),
            key=lambda index: (len(combinations[index] & missing), -_shared(cases, index, chosen), -index),
        )
        chosen.append(best)
        missing -= combinations[best]
    return sorted(chosen)


def _shared(cases: Sequence[Mapping[Any, Hashable]], index: int, chosen: Sequence[int]) -> int:
    return len(cases[index].items() & cases[chosen[-1]].items()) if chosen else 0
