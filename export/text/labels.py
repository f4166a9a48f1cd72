"""From a model's scores to the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def label_of(labels: Sequence[str], scores: np.ndarray) -> tuple[Any, Any]:
    """The label with the largest share of ``scores``, and that share; of ``(T, O)`` a list of either.

    One score is the probability of the second of two labels, which has it from 0.5 on.
    """
    if scores.ndim > 1:
        pairs = [label_of(labels, step) for step in scores]
        return [label for label, _ in pairs], [share for _, share in pairs]
    shares = scores if len(scores) > 1 else np.array([1 - scores[0], scores[0]])
    # The last of equal ones, so that 0.5 is the second of two labels.
    best = len(shares) - 1 - int(np.argmax(shares[::-1]))
    return labels[best], float(shares[best])
