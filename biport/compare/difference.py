"""How far two arrays are apart, in terms of their numbers."""

from __future__ import annotations

import numpy as np


def largest_difference(actual: np.ndarray, wanted: np.ndarray) -> float | None:
    """The largest difference in terms of the largest number; of integers and booleans the share that differs.

    Returns:
        ``None`` where they cannot be compared: shapes or kinds differ, or where they are NaN or infinite.

    Example:
        >>> largest_difference(np.array([1.0, 4.5]), np.array([1.0, 4.0]))
        0.125
        >>> largest_difference(np.array([1.0, np.nan]), np.array([1.0, 4.0])) is None
        True
    """
    if actual.shape != wanted.shape or (actual.dtype.kind == "f") != (wanted.dtype.kind == "f"):
        return None
    if actual.dtype.kind != "f":
        return 0.0 if np.array_equal(actual, wanted) else float(np.mean(actual != wanted))
    if not np.array_equal(np.isnan(actual), np.isnan(wanted)):
        return None
    infinite = np.isinf(wanted)
    if not np.array_equal(actual[infinite], wanted[infinite]) or np.isinf(actual[~infinite]).any():
        return None
    finite = np.isfinite(wanted)
    if not finite.any():
        return 0.0
    largest = max(1.0, float(np.abs(wanted[finite]).max()))
    return float(np.abs(actual[finite] - wanted[finite]).max() / largest)
