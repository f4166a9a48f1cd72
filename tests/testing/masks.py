"""Masks and padded ids of a pattern, as `biport.compare.cases` makes them."""

from __future__ import annotations

import numpy as np

from biport.compare import cases

MASKS = (*cases.PATTERNS, "empty row")
"""What a mask can be like: every row of one pattern, or one row of padding among rows with holes."""

VOCABULARY = 11


def valid_steps(pattern: str, N: int, T: int, rng: np.random.Generator) -> np.ndarray:
    """A mask ``(N, T)`` of the given pattern."""
    if pattern != "empty row":
        return cases.valid_steps((pattern,), N, T, rng)
    valid = cases.valid_steps(("holes",), N, T, rng)
    valid[N // 2 : N // 2 + 1] = False
    return valid


def padded_ids(pattern: str, N: int, T: int, rng: np.random.Generator, rows: int = VOCABULARY) -> np.ndarray:
    """Ids ``(N, T)`` below ``rows``, 0 where the pattern says padding and nowhere else."""
    return np.where(valid_steps(pattern, N, T, rng), rng.integers(1, rows, (N, T)), 0).astype("int32")
